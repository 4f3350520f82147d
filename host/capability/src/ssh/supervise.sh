# Runs one command between two marks, and ends all that came of it. It follows tree.sh.
#
# Set before: job, call, level (outer, inner), begin, end (the marks' secrets), grace, limit (seconds); "$@" is the
# command; inner is what its input begins with, if it enters an enclosure. Standard input is the connection: while it
# is open somebody waits for the command. Only POSIX, for dash, bash and busybox.

exec 3<&0 </dev/null 4>&2 2>/dev/null
mask=$(umask)
umask 077

say() {
    printf '[%s %s]' "$1" "$2"
    printf '[%s %s]' "$1" "$2" >&4
}
refuse() {
    say "$begin" "refused $1"
    exit 1
}

user=$(id -u)
why=$(able) || refuse "$why"

# What an earlier run of the job left goes first. Inside, the outer record is that of this very call.
marked=$job/ spared=$job/$call/
if [ "$level" = outer ]; then levels='outer inner'; else levels=inner; fi
records $levels
if ! end_members; then
    say "$begin" busy
    exit 1
fi
forget $levels
# From here on it is about all of this call but what stands around its command.
if [ "$level" = outer ]; then marked=$job/$call/; else marked=$job/$call/inner; fi
spared=$job/$call/$level+
folder || refuse folder
record=$own/$job.$level
stopped=$record.stopped
rm -f "$stopped"
: >"$record" || refuse folder

# Ends the command for another reason than its own end. What says so is there before the command can notice.
stop() {
    [ -e "$record" ] || exit 0
    : >"$stopped"
    records $levels
    end_members
    exit 0
}
# Waits for the end of the connection.
attend() {
    while IFS= read -r _ <&3; do :; done
    exec >&-
    stop
}
# The last resort, for when nobody is left to keep the time.
time_out() {
    exec >/dev/null 3<&- 4>&-
    sleep "$limit" &
    nap=$!
    trap 'kill "$nap"; exit 0' TERM
    wait "$nap"
    trap - TERM
    stop
}

# It has a session of its own where that can be had, and tells its number before it becomes the command.
apart=''
if command -v setsid >/dev/null; then apart=setsid; fi
launch='
boot=-
{ IFS= read -r boot </proc/sys/kernel/random/boot_id; IFS= read -r stat </proc/$$/stat; } 2>/dev/null
record=$1 session=$2
shift 2
[ -z "$session" ] || session=$$
count=0
for field in ${stat##*) }; do
    count=$((count + 1))
    [ "$count" = 20 ] && start=$field
done
echo "$boot ${session:-0} $start" >"$record"
exec "$@"'
run() {
    # The mark is exported in a process of its own, so that it is not on what stands around the command.
    (
        export "$variable=$job/$call/$level-"
        umask "$mask"
        exec $apart sh -c "$launch" sh "$record" "$apart" "$@" 2>&4 3<&- 4>&-
    )
}

# Where nobody hears this any more, it ends here, before anything else was started.
say "$begin" begin
time_out &
timer=$!
if [ -n "$inner" ]; then
    { { printf '%s\n' "$inner"; attend; } 4>&- & } | run "$@"
else
    { attend; } >/dev/null 4>&- &
    run "$@"
fi
code=$?
exec 3<&-

# Whatever it left behind ends with it.
records $levels
end_members
gone=$?
kill "$timer"
if [ -e "$stopped" ]; then
    word=stopped
else
    word="end $code"
fi
[ "$gone" -ne 0 ] || forget $levels
say "$end" "$word"
exit 0
