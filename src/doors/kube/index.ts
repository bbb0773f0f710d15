export { adminKubeconfig, type CertificateOptions, type Certificates, loadCertificates } from './certificates.ts'
export { createKubeDoor, type DoorTls, type KubeDoor, type KubeDoorDeps } from './door.ts'
