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

# What has left its parent and is in nobody's list any more, such as the browser of a driver: it carries the mark that all of us inherit.
strays() {
    for file in $(grep -lzxF "USHER_RIG=$own" /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n'); do
        stray=${file#/proc/}
        stray=${stray%/environ}
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
