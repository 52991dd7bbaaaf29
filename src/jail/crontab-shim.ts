/**
 * `crontab` as customers know it, for the file in their home that takes the place of cron's own. It only edits the
 * file: init sees the change, and what is wrong in it is told in the vassal's log.
 */

/**
 * First in the path of everything that runs inside: a distro's own `crontab` would look for a daemon. In /run, from which
 * programs may be run, and where nobody but root can touch what is root's.
 */
export const TOOLS_PATH = '/run/vassal/bin';

export const CRONTAB_SHIM = `#!/bin/sh
# Edits ~/crontab, whose jobs run inside this system. A change counts at once, and restarts nothing; a line that is not
# understood is told in /var/log/vassal/current, under "crontab".
usage() {
  echo 'usage: crontab FILE    takes the jobs from FILE, or from stdin if it is -
       crontab -l | -e | -r    lists, edits, removes them' >&2
  exit 2
}
# There is one home here, whatever HOME says.
for home in /home/*; do :; done
umask 077
# In one piece, so that no half of it is read.
put() {
  new=$home/.crontab.$$
  if cat -- "$1" >"$new" && mv -fT -- "$new" "$home/crontab"; then return 0; fi
  rm -f -- "$new"
  return 1
}
[ $# -eq 1 ] || usage
case $1 in
  -l)
    [ -e "$home/crontab" ] || { echo 'crontab: there is none' >&2; exit 1; }
    exec cat -- "$home/crontab"
    ;;
  -r) rm -- "$home/crontab" ;;
  -e)
    copy=$(mktemp) || exit 1
    trap 'rm -f -- "$copy"' EXIT
    [ ! -e "$home/crontab" ] || cat -- "$home/crontab" >"$copy" || exit 1
    \${VISUAL:-\${EDITOR:-vi}} "$copy" || { echo 'crontab: the editor failed; nothing was changed' >&2; exit 1; }
    put "$copy"
    ;;
  -) put - ;;
  -*) usage ;;
  *) put "$1" ;;
esac
`;
