/** How objects of a project are found again. Written by compose/lower on everything it makes. */
export const projectLabel = 'slipway.dev/project'
export const serviceLabel = 'com.docker.compose.service'
export const hashedLabel = 'slipway.dev/content-hash'
/** On a workload that was stopped: how many replicas `start` brings back. */
export const stoppedAnnotation = 'slipway.dev/stopped-replicas'
/** On the Namespace: the project's name and files, for `ls`. */
export const filesAnnotation = 'slipway.dev/config-files'
export const fieldManager = 'slipway'
