/** How objects of a project are found again. Written by compose/lower on everything it makes. */
import { labelValue } from '../../../compose/index.ts'

export { hashedLabel } from '../../../compose/index.ts'
export const projectLabel = 'slipway.dev/project'
export const serviceLabel = 'com.docker.compose.service'
/** On a workload that was stopped: how many replicas `start` brings back. */
export const stoppedAnnotation = 'slipway.dev/stopped-replicas'
/** A node selector that no node answers: on a DaemonSet that was stopped. */
export const stoppedNode = 'slipway.dev/stopped'
/** On the Namespace: the project's name and files, for `ls`. Written by compose/lower. */
export const nameAnnotation = 'slipway.dev/project-name'
export const filesAnnotation = 'com.docker.compose.project.config_files'
/** On what a command made beside the file (autoscale): `up` leaves it alone while its service is there. */
export const besideFile = 'slipway.dev/beside-file'
export const fieldManager = 'slipway'

/** Selects what belongs to a project, or to one of its services. */
export const selectorOf = (project: string, service?: string): string =>
  `${projectLabel}=${labelValue(project)}${service === undefined ? '' : `,${serviceLabel}=${labelValue(service)}`}`
