# Ends every process of a rig and removes its folders, once the rig is gone.
#
# Arguments: the rig's own folder. Standard input: a pipe that the rig holds open; its end is the signal.
# Under the folder: `alive` (a child that does not find it must not start), `pids/PID` ("PID START SIGNAL"),
# `folders` (one path a line, all named usher-rig-*), `keep` (if there, folders stay).
own=$1
trap '' INT TERM HUP QUIT
while read -r _; do :; done
rm -f "$own/alive"

# Field 22 of /proc/PID/stat is the start time: a number that is in use again is not ours.
lives() {
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    rest=${stat##*) }
    # shellcheck disable=SC2086
    set -- "$1" "$2" $rest
    [ "$3" != Z ] && [ "$2" = "${22}" ]
}
children() {
    for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
        { read -r stat <"/proc/$child/stat"; } 2>/dev/null || continue
        start=$(echo "${stat##*) }" | cut -d' ' -f20)
        # Its parent ends it; only what is left after the wait is killed.
        echo "$child $start none"
        children "$child"
    done
}

# The processes that carry the mark; with "?" before it, those whose environment reads as empty. One look at each.
looked() {
    set -- /proc/[0-9]*/environ
    LC_ALL=C grep -szHo '..*' "$@" | tr '\0' '\n' | LC_ALL=C awk -v mark="USHER_RIG=$own" -v all="$*" '
        { file = substr($0, 1, index($0, ":") - 1); seen[file] = 1 }
        substr($0, length(file) + 2) == mark { print file }
        END { count = split(all, files, " "); for (i = 1; i <= count; i++) if (!(files[i] in seen)) print "?" files[i] }' |
        sed 's,/proc/,,; s,/environ,,'
}

# Where a process has its arguments and its environment (proc(5), fields 48 to 51 of stat): zeros while it becomes another program,
# and hardly ever the same in the next.
span() {
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null && echo "${stat##*) }" | cut -d' ' -f46-49
}

# Whether a process whose environment was empty carries the mark. While it becomes another program (execve(2)) it shows none, and is asked again.
marked() {
    look=0
    while [ -e "/proc/$1/exe" ] && [ "$look" -lt 200 ]; do
        before=$(span "$1")
        grep -qszxF "USHER_RIG=$own" "/proc/$1/environ" && return 0
        [ "$before" != '0 0 0 0' ] && [ "$(span "$1")" = "$before" ] && return 1
        look=$((look + 1))
        sleep 0.01
    done
    return 1
}

# What has left its parent and is in nobody's list any more, such as the browser of a driver: it carries the mark that all of us inherit.
strays() {
    for stray in $(looked); do
        case $stray in '?'*) stray=${stray#?} && marked "$stray" || continue ;; esac
        [ -e "$own/pids/$stray" ] && continue
        { read -r stat <"/proc/$stray/stat"; } 2>/dev/null || continue
        # Fields 4 and 22, the name and what stands before it left out.
        parent=$(echo "${stat##*) }" | cut -d' ' -f2)
        start=$(echo "${stat##*) }" | cut -d' ' -f20)
        if [ "$parent" = 1 ]; then echo "$stray $start TERM"; else echo "$stray $start none"; fi
    done
}

round=0
while [ "$round" -lt 2 ]; do
    all=
    for file in "$own"/pids/*; do
        [ -e "$file" ] || continue
        read -r pid start signal <"$file"
        lives "$pid" "$start" || continue
        all="$all$pid $start $signal
$(children "$pid")
"
    done
    all="$all$(strays)
"
    [ "$all" = "
" ] && break
    echo "$all" | while read -r pid start signal; do
        [ -n "$pid" ] && lives "$pid" "$start" || continue
        [ "$signal" != none ] && kill -s "$signal" "$pid"
        kill -s CONT "$pid"
    done 2>/dev/null
    step=0
    left=yes
    while [ "$step" -lt 40 ] && [ -n "$left" ]; do
        left=$(echo "$all" | while read -r pid start signal; do
            [ -n "$pid" ] && lives "$pid" "$start" && echo "$pid"
        done)
        [ -n "$left" ] && sleep 0.05
        step=$((step + 1))
    done
    for pid in $left; do kill -s KILL "$pid" 2>/dev/null; done
    round=$((round + 1))
done

[ -e "$own/keep" ] && exit 0
[ -e "$own/folders" ] && while read -r folder; do
    case ${folder##*/} in usher-rig-*) rm -rf --one-file-system -- "$folder" ;; esac
done <"$own/folders"
case ${own##*/} in usher-rig-*) rm -rf --one-file-system -- "$own" ;; esac
