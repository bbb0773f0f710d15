import { join } from 'node:path'
import { takenCode } from '../../../sys/supervisor.ts'

const launcher = join(import.meta.dirname, '../../../../slipway')

/** systemd.syntax(7): a word in quotes, with the percent signs doubled that would begin a specifier. */
const quoted = (word: string): string => `"${word.replaceAll('%', '%%').replace(/[\\"]/g, '\\$&')}"`

/** A systemd service that starts the daemon of an instance with the machine and again when it dies. `home` as in SLIPWAY_HOME. */
export const unitText = (home: string | undefined): string => `[Unit]
Description=slipway, containers and Kubernetes on this machine
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
# The first start may have to install packages.
TimeoutStartSec=infinity
ExecStart=${quoted(launcher)} daemon run
${home === undefined ? '' : `Environment=${quoted(`SLIPWAY_HOME=${home}`)}\n`}Restart=on-failure
RestartSec=100ms
# One that lives but does not get to do anything for so long is killed, and started again.
WatchdogSec=60
# Another daemon, which a command has started, serves the instance: it stays.
RestartPreventExitStatus=${takenCode}
# Containers outlive the daemon.
KillMode=process
Delegate=yes
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`
