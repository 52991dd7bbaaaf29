/** Paths of the API, once for the server's routes and for the client. `:name` is a vassal. */

export const PATHS = {
  vassals: '/v1/vassals',
  vassal: '/v1/vassals/:name',
  purge: '/v1/vassals/:name/purge',
  wait: '/v1/vassals/:name/wait',
  file: '/v1/vassals/:name/file',
  resolved: '/v1/vassals/:name/resolved',
  exec: '/v1/vassals/:name/exec',
  jailPlan: '/v1/vassals/:name/jail-plan',
  vassalNetwork: '/v1/vassals/:name/network',
  network: '/v1/network',
  firewallCheck: '/v1/firewall/check',
  vassalCron: '/v1/vassals/:name/cron',
  cron: '/v1/cron',
  plan: '/v1/plan',
  events: '/v1/events',
  stats: '/v1/stats',
  distros: '/v1/distros',
  shutdown: '/v1/shutdown',
  rescan: '/v1/rescan',
  metrics: '/metrics',
} as const;

/** Path of `POST /v1/vassals/:name/ACTION`. */
export function actionPath(action: string): string {
  return `${PATHS.vassal}/${action}`;
}

/** Returns the path for one vassal; any name is made safe for a URL. */
export function pathFor(template: string, name: string): string {
  return template.replace(':name', encodeURIComponent(name));
}
