# Ends whatever runs here for a job, and says whether it has ended. It follows tree.sh.
#
# Set before: job, begin, end, grace; "$@" is an enclosure to end it in as well, with what its input is in inner.

exec 2>/dev/null
user=$(id -u)
able >/dev/null || exit 1
marked=$job/
records outer inner
# Whether a command still ran when this looked: one that has ended by itself was ended by nobody.
ran=$(marked="$job/[^/]*/[a-z]*-"; members)
if end_members; then
    forget outer inner
    word=idle
    [ -z "$ran" ] || word=ended
else
    word=running
fi
printf '[%s %s]' "$end" "$word"
[ -z "$inner" ] || printf '%s\n' "$inner" | "$@" 2>&1
exit 0
