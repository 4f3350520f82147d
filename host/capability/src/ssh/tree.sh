# Who belongs to a job on this machine, and their end. `job` and `grace` (in tenths of a second) are set by whoever uses it.
#
# A process belongs to a job if its environment bears the job's mark, or if it is in the session that a record names:
# many suites start their processes with a clean environment, and those are found by the session only.

variable=STAGEWRIGHT_REMOTE
# How a member's mark begins, and how the mark of one begins that is left alone.
marked='' spared=''
# The sessions that belong to the job, as alternatives of a regular expression.
sessions=''

# The folder for records, made if it is not there. A link or a folder of somebody else is not used.
folder() {
    for base in /tmp /dev/shm /var/tmp; do
        own=$base/stagewright-$user
        mkdir -m 700 "$own" 2>/dev/null
        if [ -d "$own" ] && [ ! -L "$own" ] && [ -O "$own" ] && [ -w "$own" ]; then
            chmod 700 "$own" && return 0
        fi
    done
    return 1
}

# When process $1 was started, in ticks since the machine was; empty where there is no such process.
started() {
    stat=''
    { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null
    # The name in brackets may hold anything. The fields are counted from behind it.
    set -- ${stat##*) }
    start=${20-}
}

# Whether members can be found at all; the reason is printed if not.
able() {
    [ -r /proc/self/environ ] || { echo proc; return 1; }
    for tool in grep sleep mkdir chmod rm env; do
        command -v "$tool" >/dev/null || { echo "tool $tool"; return 1; }
    done
    # An environment is read by its entries, each of which ends with NUL.
    printf 'a\000b\000' | grep -zq '^b' || { echo "tool grep -z"; return 1; }
}

# Reads the sessions from the job's records of the levels $@. A number that is another process's by now is passed over.
records() {
    sessions='' boot=-
    { IFS= read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
    for base in /tmp /dev/shm /var/tmp; do
        own=$base/stagewright-$user
        [ ! -L "$own" ] && [ -O "$own" ] || continue
        for level_of_record in "$@"; do
            kept=$own/$job.$level_of_record
            [ -f "$kept" ] || continue
            during='' session='' begun=''
            read -r during session begun <"$kept"
            [ "$during" = "$boot" ] && [ "${session:-0}" -gt 0 ] || continue
            started "$session"
            [ -n "$start" ] && [ "$start" != "$begun" ] || sessions=${sessions:+$sessions|}$session
        done
    done
}

# Removes the job's records of the levels $@.
forget() {
    for base in /tmp /dev/shm /var/tmp; do
        own=$base/stagewright-$user
        [ ! -L "$own" ] && [ -O "$own" ] || continue
        for level_of_record in "$@"; do
            rm -f "$own/$job.$level_of_record" "$own/$job.$level_of_record.stopped"
        done
    done
}

# The ids of all members that live. One that has ended and was not waited for has an empty environment.
members() {
    files=$(grep -zl -e "^$variable=$marked" /proc/[0-9]*/environ 2>/dev/null)
    if [ -n "$files" ] && [ -n "$spared" ]; then
        # Among them was the process that looked; it is gone, and what is not there any more is not named here.
        files=$(grep -zL -e "^$variable=$spared" $files 2>/dev/null)
    fi
    for file in $files; do
        file=${file#/proc/}
        echo "${file%/environ}"
    done
    [ -n "$sessions" ] || return 0
    for file in $(grep -lE "^[0-9]+ \(.*\) [^ZX] [0-9]+ [0-9]+ ($sessions) " /proc/[0-9]*/stat 2>/dev/null); do
        file=${file#/proc/}
        echo "${file%/stat}"
    done
}

# Ends all members: TERM, a grace period, KILL. Fails if some are left ten seconds after that.
end_members() {
    waited=0 looks=0 asked=''
    # Nobody must be found twice in turn: a look goes through the table of processes while it changes.
    while [ "$looks" -lt 2 ]; do
        found=$(members)
        if [ -z "$found" ]; then
            looks=$((looks + 1))
            continue
        fi
        looks=0
        if [ -z "$asked" ]; then
            asked=1
            kill -TERM $found 2>/dev/null
            # One that is stopped can't follow.
            kill -CONT $found 2>/dev/null
        elif [ "$waited" -ge $((grace + 100)) ]; then
            return 1
        elif [ "$waited" -ge "$grace" ]; then
            kill -KILL $found 2>/dev/null
        fi
        if sleep 0.1 2>/dev/null; then
            waited=$((waited + 1))
        else
            sleep 1
            waited=$((waited + 10))
        fi
    done
}
