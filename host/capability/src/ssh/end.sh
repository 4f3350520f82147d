# Ends whatever runs here for a job, and says whether it has ended. It follows tree.sh.
#
# Set before: job, begin, end, grace; "$@" is an enclosure to end it in as well, with what its input is in inner.

exec 2>/dev/null
user=$(id -u)
able >/dev/null || exit 1
marked=$job/
records outer inner
if end_members; then
    forget outer inner
    printf '[%s ended]' "$end"
else
    printf '[%s running]' "$end"
fi
[ -z "$inner" ] || printf '%s\n' "$inner" | "$@" 2>&1
exit 0
