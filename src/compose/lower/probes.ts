/**
 * Health checks. Docker has one, Kubernetes three: startup (until the first success; the service has as long as Docker
 * would give it: start_period plus `retries` rounds), readiness (gets traffic) and liveness (is restarted). Docker's
 * defaults hold: 30 s, 30 s, 3 retries, start interval 5 s.
 */
import type { Healthcheck, Service } from '../../spec/compose/project.ts'
import type { Probe } from '../../spec/kube/generated/types.ts'
import type { ProbeTimings } from '../../spec/kube/runtime-annotation.ts'
import type { HealthcheckConfig } from '../../spec/oci/index.ts'
import type { Lowering } from './context.ts'
import { escapeExpansion } from './names.ts'
import type { Piece } from './piece.ts'

const ms = (nanoseconds: number | undefined): number | undefined => (nanoseconds ? nanoseconds / 1e6 : undefined)

interface ResolvedCheck {
  test: string[]
  interval: number
  timeout: number
  start_period: number
  start_interval: number
  retries: number
}
/** What the file says, over what the image says, over Docker's defaults. */
const resolved = (check: Healthcheck, image: HealthcheckConfig | undefined): ResolvedCheck => {
  const interval = check.interval || ms(image?.Interval) || 30_000
  return {
    test: check.test?.length ? check.test : (image?.Test ?? []),
    interval,
    timeout: check.timeout || ms(image?.Timeout) || 30_000,
    start_period: check.start_period ?? ms(image?.StartPeriod) ?? 0,
    start_interval: check.start_interval || ms(image?.StartInterval) || Math.min(5000, interval),
    retries: check.retries || image?.Retries || 3,
  }
}

const execOf = (test: string[], shell: string[]): string[] | undefined => {
  const [how, ...rest] = test
  if (how === 'CMD' && rest.length) return rest
  if (how === 'CMD-SHELL' && rest[0]) return [...shell, rest[0]]
  return undefined
}

const seconds = (milliseconds: number): number => Math.max(1, Math.ceil(milliseconds / 1000))

export const probes = (service: Service, lowering: Lowering): Piece => {
  const { config } = lowering.image(service)
  const said = service.healthcheck
  if (said?.disable || said?.test?.[0] === 'NONE') return {}
  const check = resolved(said ?? {}, config?.Healthcheck)
  const command = execOf(check.test, config?.Shell ?? ['/bin/sh', '-c'])
  if (!command) {
    if (said && check.test[0] !== 'NONE')
      lowering.warn(
        service.name,
        'healthcheck',
        'there is a health check without a test, and the image brings none',
        'Give it `test:`.',
      )
    return {}
  }
  // The kubelet expands a probe's command like any other.
  const action = { exec: { command: command.map(escapeExpansion) } }
  const probe = (period: number, failures: number): Probe => ({
    ...action,
    periodSeconds: seconds(period),
    timeoutSeconds: seconds(check.timeout),
    failureThreshold: failures,
  })
  const patience = check.start_period + check.retries * check.interval
  const starts = (period: number): number => Math.max(1, Math.ceil(patience / period))
  const liveness = service['x-slipway']?.liveness ?? true
  const timing = (periodMs: number, failureThreshold: number) => ({
    periodMs,
    timeoutMs: check.timeout,
    failureThreshold,
  })
  const exact: ProbeTimings = {
    startup: timing(check.start_interval, starts(check.start_interval)),
    readiness: timing(check.interval, check.retries),
    ...(liveness && { liveness: timing(check.interval, check.retries), same: true }),
  }
  const isWhole = [check.start_interval, check.interval, check.timeout].every((value) => value % 1000 === 0)
  return {
    container: {
      startupProbe: probe(check.start_interval, starts(seconds(check.start_interval) * 1000)),
      readinessProbe: probe(check.interval, check.retries),
      ...(liveness && { livenessProbe: probe(check.interval, check.retries) }),
    },
    runtime: isWhole ? (liveness ? { probes: { same: true } } : {}) : { probes: exact },
  }
}
