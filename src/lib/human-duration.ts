/** A span in docker's words (go-units HumanDuration): "5 minutes", "About an hour". */
export const humanDuration = (ms: number): string => {
  const s = Math.floor(ms / 1000)
  if (s < 1) return 'Less than a second'
  if (s === 1) return '1 second'
  if (s < 60) return `${s} seconds`
  const m = Math.floor(s / 60)
  if (m === 1) return 'About a minute'
  if (m < 60) return `${m} minutes`
  const h = Math.round(s / 3600)
  if (h === 1) return 'About an hour'
  if (h < 48) return `${h} hours`
  const d = Math.floor(s / 86400)
  if (d < 14) return `${d} days`
  if (d < 60) return `${Math.floor(d / 7)} weeks`
  if (d < 730) return `${Math.floor(d / 30)} months`
  return `${Math.floor(d / 365)} years`
}
