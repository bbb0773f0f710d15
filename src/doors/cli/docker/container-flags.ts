/**
 * The flags that say what a container is, once for `run`, `create` and `update`: each with the field of the API that it sets
 * as it is. Those without a field are read together with others in container-spec.ts.
 */
import { type Flag, list, text, toggle } from '../framework/flags.ts'
import { gpuRequest, mount } from './mount.ts'
import { networkAttachment } from './network-option.ts'
import { integer, parsed, parsedList, platform, quiet } from './option.ts'
import * as value from './value.ts'

interface Setting {
  flag: Flag
  /** 'User', 'HostConfig.Memory'. */
  field?: string
}
const config = (name: string, flag: Flag): Setting => ({ flag, field: name })
const host = (name: string, flag: Flag): Setting => ({ flag, field: `HostConfig.${name}` })
const read = (flag: Flag): Setting => ({ flag })

/** What `update` can change of a container that is there. */
const resources: Setting[] = [
  host(
    'BlkioWeight',
    parsed('--blkio-weight', 'uint16', 'Weight of block I/O, 10 to 1000; 0: no matter', value.uint16),
  ),
  host('CpuPeriod', integer('--cpu-period', 'Period of the CPU quota, in microseconds')),
  host('CpuQuota', integer('--cpu-quota', 'CPU time in each period, in microseconds')),
  host('CpuRealtimePeriod', integer('--cpu-rt-period', 'Period of real-time scheduling, in microseconds')),
  host('CpuRealtimeRuntime', integer('--cpu-rt-runtime', 'Real-time CPU time in each period, in microseconds')),
  host('CpuShares', integer('-c, --cpu-shares', 'Weight among containers that compete for the CPU')),
  host('NanoCpus', parsed('--cpus', 'decimal', 'CPUs it may use: 1.5', value.nanoCpus)),
  host('CpusetCpus', text('--cpuset-cpus', 'string', 'CPUs it may run on: 0-3, 0,1')),
  host('CpusetMems', text('--cpuset-mems', 'string', 'Memory nodes it may use: 0-3, 0,1')),
  host('Memory', parsed('-m, --memory', 'bytes', 'Most memory: 512m', value.bytes)),
  host(
    'MemoryReservation',
    parsed('--memory-reservation', 'bytes', 'Memory it is left when memory is short', value.bytes),
  ),
  host(
    'MemorySwap',
    parsed('--memory-swap', 'bytes', 'Most memory and swap together; -1: all the swap there is', value.swapBytes),
  ),
  host('PidsLimit', integer('--pids-limit', 'Most processes; -1: no limit')),
  read(text('--restart', 'string', 'no, always, unless-stopped or on-failure[:N]')),
]

const limits: Setting[] = [
  host(
    'BlkioWeightDevice',
    parsedList('--blkio-weight-device', 'Weight of block I/O of a device: DEVICE:WEIGHT', value.deviceWeight),
  ),
  host(
    'BlkioDeviceReadBps',
    parsedList('--device-read-bps', 'Most bytes a second read of a device: DEVICE:1mb', value.deviceBps),
  ),
  host(
    'BlkioDeviceReadIOps',
    parsedList('--device-read-iops', 'Most reads a second of a device: DEVICE:1000', value.deviceIops),
  ),
  host(
    'BlkioDeviceWriteBps',
    parsedList('--device-write-bps', 'Most bytes a second written to a device', value.deviceBps),
  ),
  host('BlkioDeviceWriteIOps', parsedList('--device-write-iops', 'Most writes a second to a device', value.deviceIops)),
  host('CgroupParent', text('--cgroup-parent', 'string', 'The cgroup that its cgroup is made in')),
  read(
    parsed('--kernel-memory', 'bytes', 'Accepted for old scripts: kernels have no such limit any more', value.bytes),
  ),
  host(
    'MemorySwappiness',
    integer('--memory-swappiness', 'How readily its memory is swapped out, 0 to 100; -1: as the host'),
  ),
  host('OomKillDisable', toggle('--oom-kill-disable', 'It waits when memory is used up, instead of being killed')),
  host('OomScoreAdj', integer('--oom-score-adj', 'How readily it is killed when the host runs short, -1000 to 1000')),
  host('ShmSize', parsed('--shm-size', 'bytes', 'Size of /dev/shm', value.bytes)),
  host('Ulimits', parsedList('--ulimit', 'Limits of its processes: nofile=1024:2048', value.ulimit, 'ulimit')),
  host('StorageOpt', parsedList('--storage-opt', 'Options of the storage driver', String)),
]

const process: Setting[] = [
  read(parsedList('-a, --attach', 'Join STDIN, STDOUT or STDERR', value.stream)),
  read(text('--entrypoint', 'string', "Instead of the image's entrypoint; '' for none")),
  read(parsedList('-e, --env', 'NAME=VALUE, or NAME for the value it has here', value.env)),
  read(list('--env-file', 'list', 'Files of such lines')),
  config('User', text('-u, --user', 'string', 'NAME or UID[:GROUP or GID]')),
  config('WorkingDir', text('-w, --workdir', 'string', 'Directory it starts in')),
  config('OpenStdin', toggle('-i, --interactive', 'Keep its input open')),
  config('Tty', toggle('-t, --tty', 'Give it a terminal')),
  config('StopSignal', text('--stop-signal', 'string', 'Signal that asks it to end')),
  config('StopTimeout', integer('--stop-timeout', 'Seconds it has to end after that')),
  host('Init', toggle('--init', 'A small init as its first process')),
  read(parsedList('-l, --label', 'Labels: NAME=VALUE', value.label)),
  read(list('--label-file', 'list', 'Files of labels')),
  read(parsedList('--annotation', 'Annotations for the runtime: NAME=VALUE', String, 'map')),
  read(text('--health-cmd', 'string', 'Command that tells if it is healthy')),
  read(parsed('--health-interval', 'duration', 'Time between checks', value.duration)),
  read(integer('--health-retries', 'Failures in a row that make it unhealthy')),
  read(parsed('--health-start-interval', 'duration', 'Time between checks while it starts', value.duration)),
  read(
    parsed('--health-start-period', 'duration', 'Time it has to start, in which failures do not count', value.duration),
  ),
  read(parsed('--health-timeout', 'duration', 'Time one check may take', value.duration)),
  read(toggle('--no-healthcheck', "Leave out the image's health check")),
  host('AutoRemove', toggle('--rm', 'Remove it, and its anonymous volumes, when it ends')),
  host('Runtime', text('--runtime', 'string', 'Runtime: only the one there is')),
  host('Isolation', text('--isolation', 'string', 'Only default')),
  read(text('--log-driver', 'string', 'json-file, local or none')),
  read(list('--log-opt', 'list', 'Options of the log: max-size=10m, max-file=3')),
]

const security: Setting[] = [
  host('CapAdd', parsedList('--cap-add', 'Capabilities to give', value.capability)),
  host('CapDrop', parsedList('--cap-drop', 'Capabilities to take', value.capability)),
  host('Privileged', toggle('--privileged', 'All capabilities and devices of the host')),
  host('ReadonlyRootfs', toggle('--read-only', 'Its root is read-only')),
  read(list('--security-opt', 'list', 'no-new-privileges, seccomp=FILE, apparmor=…, systempaths=unconfined')),
  host('GroupAdd', list('--group-add', 'list', 'Further groups of its user')),
  read(list('--device', 'list', 'Devices of the host: DEVICE[:PATH][:rwm], or VENDOR/CLASS=NAME')),
  host('DeviceCgroupRules', parsedList('--device-cgroup-rule', "Devices it may use: 'c 1:3 rwm'", value.deviceRule)),
  host(
    'DeviceRequests',
    parsedList('--gpus', 'GPUs, where a specification of devices names them', gpuRequest, 'gpu-request'),
  ),
  read(parsedList('--sysctl', 'Kernel parameters of its own: net.ipv4.ip_forward=1', value.sysctl, 'map')),
  host('CgroupnsMode', text('--cgroupns', 'string', 'host or private')),
  host('IpcMode', text('--ipc', 'string', 'private, shareable, host, none or container:NAME')),
  host('PidMode', text('--pid', 'string', 'host or container:NAME')),
  host('UTSMode', text('--uts', 'string', 'host')),
  host('UsernsMode', text('--userns', 'string', 'host')),
]

const storage: Setting[] = [
  read(list('-v, --volume', 'list', '[NAME or DIRECTORY:]PATH[:MODE]')),
  host('VolumeDriver', text('--volume-driver', 'string', 'Driver of volumes that are made')),
  host('VolumesFrom', list('--volumes-from', 'list', 'All mounts of other containers')),
  host('Mounts', parsedList('--mount', 'type=bind|volume|tmpfs|image,source=…,target=…', mount, 'mount')),
  read(list('--tmpfs', 'list', 'Directories in memory: PATH[:OPTIONS]')),
]

const networking: Setting[] = [
  config('Hostname', text('-h, --hostname', 'string', 'Host name')),
  config('Domainname', text('--domainname', 'string', 'Domain name')),
  read(text('--mac-address', 'string', 'MAC address')),
  read(
    parsedList(
      '--network',
      'Network, host, none, container:NAME, or name=NETWORK,alias=…,ip=…',
      (n) => networkAttachment(n),
      'network',
    ),
  ),
  read(list('--network-alias', 'list', 'Further names on its network')),
  read(text('--ip', 'string', 'IPv4 address on its network')),
  read(text('--ip6', 'string', 'IPv6 address on its network')),
  read(list('--link-local-ip', 'list', 'Link-local addresses')),
  host('Links', parsedList('--link', 'Other containers by name: CONTAINER[:ALIAS]', value.link)),
  host('Dns', parsedList('--dns', 'Name servers', value.address)),
  host('DnsOptions', list('--dns-option', 'list', 'Options of resolv.conf')),
  host('DnsSearch', parsedList('--dns-search', 'Domains that are tried', value.searchDomain)),
  host('ExtraHosts', parsedList('--add-host', 'Lines of /etc/hosts: NAME:ADDRESS, NAME:host-gateway', value.extraHost)),
  read(list('-p, --publish', 'list', '[ADDRESS:][PORT:]PORT[/PROTOCOL]; ranges, too')),
  host('PublishAllPorts', toggle('-P, --publish-all', 'All exposed ports, at free ports of the host')),
  read(list('--expose', 'list', 'Ports that it listens at')),
]

const creating: Setting[] = [
  read(text('--cidfile', 'string', 'File that its id is written to')),
  read(toggle('--disable-content-trust', 'Accepted: there are no signatures to verify')),
  read(text('--name', 'string', 'Its name')),
  read(platform('Platform of the image: linux/arm64')),
  read(text('--pull', 'string', 'always, missing or never')),
  read(quiet('Say nothing of the pull')),
  read(toggle('--use-api-socket', "Give it the engine's socket, and the credentials for registries")),
]

const settings = [...creating, ...process, ...networking, ...storage, ...resources, ...limits, ...security]
const byName = (all: Setting[]): Flag[] =>
  all.map(({ flag }) => flag).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))

export const createFlags: readonly Flag[] = byName(settings)
export const updateFlags: readonly Flag[] = byName(resources)
export const processFlags = (names: readonly string[]): Flag[] =>
  byName(settings).filter(({ name }) => names.includes(name))
export const fields: readonly { name: string; path: readonly string[] }[] = settings.flatMap(({ flag, field }) =>
  field === undefined ? [] : [{ name: flag.name, path: field.split('.') }],
)
