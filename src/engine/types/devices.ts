/** Devices that specifications on this machine name (Container Device Interface), as VENDOR/CLASS=NAME. */
export interface Devices {
  /** Where specifications are looked for, the later before the earlier. Empty: nowhere. */
  directories(): string[]
  /** By name. `problems`: files and directories that cannot be read, a sentence each. */
  list(): Promise<{ devices: NamedDevice[]; problems: string[] }>
}
export interface NamedDevice {
  name: string
  annotations: Record<string, string>
}
/** As docker's API has it. `count` -1 is all. */
export interface DeviceRequest {
  driver: string
  count: number
  ids: string[]
  capabilities: string[][]
  options: Record<string, string>
}
