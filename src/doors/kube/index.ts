export { adminKubeconfig, type Certificates, loadCertificates } from './certificates.ts'
export { createKubeDoor } from './door.ts'
