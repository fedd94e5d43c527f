# SPDX-License-Identifier: Apache-2.0
#
# Completion for fish. Names are read from the folders that they are kept in, so that pressing Tab starts no program.

# The folder of the caller's own names.
function __ipcns_own_folder
    if test (id -u) -eq 0
        echo /run/ipcns
    else if string match -q '/*' -- "$XDG_RUNTIME_DIR"
        echo $XDG_RUNTIME_DIR/ipcns
    else if test -w /run/user/(id -u)
        echo /run/user/(id -u)/ipcns
    else
        echo /tmp/ipcns-(id -u)
    end
end

function __ipcns_own_names
    set -l paths (__ipcns_own_folder)/*/
    string replace -r '.*/(.+)/$' '$1' -- $paths
end

function __ipcns_names
    set -l paths /run/ipcns/*/ (__ipcns_own_folder)/*/
    string replace -r '.*/(.+)/$' '$1' -- $paths | sort -u
end

# The ids of containers, where the caller may see them.
function __ipcns_containers
    set -l own /run/user/(id -u)
    string match -q '/*' -- "$XDG_RUNTIME_DIR" && set own $XDG_RUNTIME_DIR
    set -l paths {/run,$own}/{runc,crun}/*/
    set -a paths {/run,$own}/docker/runtime-runc/*/*/
    set -a paths /run/containerd/runc/*/*/
    string replace -r '.*/(.+)/$' 'oci:$1' -- $paths | sort -u
end

function __ipcns_targets
    switch (commandline -ct)
        case '/*' './*'
            __fish_complete_path (commandline -ct)
        case '@*'
            ipcns list -q -n -o NS --fds=never 2>/dev/null | string replace -r '^ *' @
        case 'oci:*'
            __ipcns_containers
        case '*'
            __ipcns_names
            printf '%s\t%s\n' self 'the namespace you are in' host 'that of process 1'
            test -n "$(__ipcns_containers)" && printf '%s\t%s\n' oci: 'a container'
            __fish_complete_pids
    end
end

# The words after the command that are neither options nor their values, one a line, without the one being written.
function __ipcns_words
    set -l words (commandline -opc)
    set -l command $words[2]
    set -e words[1..2]
    set -l value no
    set -l ended no
    for word in $words
        if test $value = yes
            set value no
        else if test $ended = no; and test "$word" = --
            set ended yes
        else if test $ended = no; and string match -q -- '-?*' $word
            contains -- $word --config --shm-size --limit --name --chdir --env --unset --timeout -o --output \
                --size --count --mode --value --owner --kind --older-than --key --run-options --only --expect --junit \
                --offset --length --max-pause --into --map-uid --map-gid
            and set value yes
            test "$command $word" = 'peek --bytes'; and set value yes
        else
            echo $word
        end
    end
end

function __ipcns_command # COMMAND...: this is the one that is being written
    set -l words (commandline -opc)
    set -q words[2]; and contains -- $words[2] $argv
end

function __ipcns_no_command
    test (count (commandline -opc)) -eq 1
end

function __ipcns_has_words # NUMBER
    test (count (__ipcns_words)) -eq $argv[1]
end

# True where run or exec begin to take the program and its arguments.
function __ipcns_in_program
    set -l words (commandline -opc)
    set -l count (count (__ipcns_words))
    switch "$words[2]"
        case run
            test $count -gt 0; or contains -- -- $words
        case exec
            test $count -gt 0; or contains -- --all $words
        case '*'
            return 1
    end
end

# The options go on until the program begins.
function __ipcns_options # COMMAND...
    __ipcns_command $argv; and not __ipcns_in_program
end

function __ipcns_program
    set -l words (commandline -opc)
    set -l given (__ipcns_words)
    if test "$words[2]" = exec; and not contains -- --all $words
        set -e given[1]
    end
    complete --do-complete=(string join ' ' -- (string escape -- $given) (commandline -ct | string collect -a))
end

function __ipcns_limits
    printf '%s\t%s\n' \
        msgmax= 'largest System V message, bytes' \
        msgmnb= 'bytes that a new System V queue may hold' \
        msgmni= 'number of System V queues' \
        sem= 'semaphores in a set, in all, operations in a call, sets' \
        semmsl= 'semaphores in a set' \
        semmns= 'semaphores in all sets' \
        semopm= 'operations in a call' \
        semmni= 'number of semaphore sets' \
        shmall= 'System V shared memory in all, pages' \
        shmmax= 'largest System V segment, bytes' \
        shmmni= 'number of System V segments' \
        shm_rmid_forced= 'remove a segment when nobody is attached' \
        msg_next_id= 'wanted id of the next queue' \
        sem_next_id= 'wanted id of the next semaphore set' \
        shm_next_id= 'wanted id of the next segment' \
        auto_msgmni= 'without effect since Linux 3.19' \
        queues_max= 'number of POSIX queues' \
        msg_max= 'most messages of a POSIX queue' \
        msgsize_max= 'largest message of a POSIX queue, bytes' \
        msg_default= 'messages of a POSIX queue made without attributes' \
        msgsize_default= 'message size of one, bytes'
end

# The kinds, and once one of them is begun, the objects of that kind in the target among the words given.
function __ipcns_objects
    set -l kind (string match -r '^(msg|sem|shm|mq|psem|pshm):' -- (commandline -ct))[2]
    if test -n "$kind"
        set -l target self
        for word in (__ipcns_words)
            if string match -q -r -- '^(oci|slurm):' $word; or not string match -q -- '*:*' $word
                set target $word
                break
            end
        end
        ipcns show $target $kind -q -n -o OBJECT 2>/dev/null
    else
        printf '%s\t%s\n' msg 'System V queues' sem 'System V semaphore sets' shm 'System V segments' \
            mq 'POSIX queues' psem 'POSIX named semaphores' pshm 'POSIX shared memory'
    end
end

# The same where a kind alone would not do.
function __ipcns_one_object
    if string match -q '*:*' -- (commandline -ct)
        __ipcns_objects
    else
        printf '%s\n' msg: sem: shm: mq:/ psem:/ pshm:/
    end
end

# OLD:NEW, of users or groups.
function __ipcns_mapped # passwd|group
    set -l before (string match -r '^.*:' -- (commandline -ct | string replace -r '^--[a-z]+-[a-z]+=' ''))
    test -n "$before"; and getent $argv[1] | string replace -r '^([^:]*):.*' "$before"'$1'
end

# What verify tries, and sets of it.
function __ipcns_channels
    set -l before (string match -r '^.*,' -- (commandline -ct | string replace -r '^--[a-z]+=' ''))
    for channel in kinds ipc all msg sem shm mq psem pshm sysvipc mqueue mq-notify \
        limit.{msgmax,msgmnb,msgmni,semmsl,semmns,semopm,semmni,shmall,shmmax,shmmni,shm_rmid_forced} \
        limit.{queues_max,msg_max,msgsize_max,msg_default,msgsize_default} file fifo socket mapping futex inotify \
        signal ptrace vm-read proc-mem proc-fd pidfd-getfd abstract loopback rights
        echo $before$channel
    end
end

# A list with commas, of which the last word is being written.
function __ipcns_columns # COLUMN...
    set -l before (string match -r '^(?:\+|.*,)' -- (commandline -ct | string replace -r '^(--output=|--kind=|-o)' ''))
    for column in $argv
        echo $before$column
    end
end

complete -c ipcns -f
complete -c ipcns -n __ipcns_no_command -a run -d 'run a program with IPC of its own, and clean up after it'
complete -c ipcns -n __ipcns_no_command -a exec -d 'run a program in a namespace that exists'
complete -c ipcns -n __ipcns_no_command -a create -d 'make a named namespace that lives without a process'
complete -c ipcns -n __ipcns_no_command -a attach -d 'give a name to a namespace that somebody else made'
complete -c ipcns -n __ipcns_no_command -a delete -d 'take names away, and remove what their namespaces hold'
complete -c ipcns -n __ipcns_no_command -a list -d 'list the namespaces of this host'
complete -c ipcns -n __ipcns_no_command -a pids -d 'list the processes in a namespace'
complete -c ipcns -n __ipcns_no_command -a identify -d 'say which namespace a process is in'
complete -c ipcns -n __ipcns_no_command -a monitor -d 'print names as they come and go'
complete -c ipcns -n __ipcns_no_command -a show -d 'show the objects of a namespace, their holders and waiters'
complete -c ipcns -n __ipcns_no_command -a make -d 'make an object in a namespace'
complete -c ipcns -n __ipcns_no_command -a remove -d 'remove objects from a namespace'
complete -c ipcns -n __ipcns_no_command -a limits -d 'show and set the limits of a namespace'
complete -c ipcns -n __ipcns_no_command -a diff -d 'compare two processes or what two namespaces hold'
complete -c ipcns -n __ipcns_no_command -a clear -d 'remove everything from a named namespace'
complete -c ipcns -n __ipcns_no_command -a peek -d 'look into a queue, semaphores or shared memory; take nothing'
complete -c ipcns -n __ipcns_no_command -a save -d 'save everything in a namespace to a file'
complete -c ipcns -n __ipcns_no_command -a restore -d 'make a namespace again from such a file'
complete -c ipcns -n __ipcns_no_command -a clone -d 'copy a namespace with everything in it'
complete -c ipcns -n __ipcns_no_command -a verify -d 'try what gets through between two namespaces'
complete -c ipcns -n __ipcns_no_command -a help -d 'tell about a command'
complete -c ipcns -n '__ipcns_command help; and __ipcns_has_words 0' \
    -a 'run exec create attach delete list pids identify monitor show make remove limits diff clear peek save restore clone verify'
complete -c ipcns -n __ipcns_no_command -s V -l version -d 'print the version'
complete -c ipcns -n __ipcns_no_command -s h -l help -d 'list the commands'
complete -c ipcns -n '__ipcns_options run exec create attach delete list pids identify monitor show make remove limits diff clear peek save restore clone verify' \
    -s h -l help -d 'show what the command does'

# Arguments
complete -c ipcns -n __ipcns_in_program -a '(__ipcns_program)'
complete -c ipcns -n '__ipcns_options run; and not string match -q -- "-*" (commandline -ct)' -a '(__ipcns_program)'
complete -c ipcns -n '__ipcns_options exec; and __ipcns_has_words 0' -a '(__ipcns_targets)'
complete -c ipcns -n '__ipcns_command pids; and __ipcns_has_words 0' -a '(__ipcns_targets)'
complete -c ipcns -n '__ipcns_command diff; and not __ipcns_has_words 2' -a '(__ipcns_targets)'
complete -c ipcns -n '__ipcns_command attach; and __ipcns_has_words 1' -a '(__ipcns_targets)'
complete -c ipcns -n '__ipcns_command delete' -a '(__ipcns_own_names)'
complete -c ipcns -n '__ipcns_command clear; and __ipcns_has_words 0' -a '(__ipcns_own_names)'
complete -c ipcns -n '__ipcns_command show; and __ipcns_has_words 0' -a '(__ipcns_targets)'
complete -c ipcns -n '__ipcns_command show' -a '(__ipcns_objects)'
complete -c ipcns -n '__ipcns_command make remove; and __ipcns_has_words 0' -a '(__ipcns_targets)'
complete -c ipcns -n '__ipcns_command make; and __ipcns_has_words 1' -a 'msg sem shm mq psem pshm'
complete -c ipcns -n '__ipcns_command remove; and not __ipcns_has_words 0' -a '(__ipcns_one_object)'
complete -c ipcns -n '__ipcns_command limits; and __ipcns_has_words 0' -a '(__ipcns_targets)'
complete -c ipcns -n '__ipcns_command limits' -a '(__ipcns_limits)'
complete -c ipcns -n '__ipcns_command identify; and __ipcns_has_words 0' -a '(__fish_complete_pids)'
complete -c ipcns -n '__ipcns_command peek; and __ipcns_has_words 0' -a '(__ipcns_targets)'
complete -c ipcns -n '__ipcns_command peek; and __ipcns_has_words 1' -a '(__ipcns_one_object)'
complete -c ipcns -n '__ipcns_command save clone; and __ipcns_has_words 0' -a '(__ipcns_targets)'
complete -c ipcns -n '__ipcns_command save; and __ipcns_has_words 1' -F
complete -c ipcns -n '__ipcns_command restore; and __ipcns_has_words 0' -F
complete -c ipcns -n '__ipcns_command verify; and __ipcns_has_words 0' -a '(__ipcns_targets)'
complete -c ipcns -n '__ipcns_command verify; and __ipcns_has_words 1' -a '(__ipcns_targets)'

# How much is private
complete -c ipcns -n '__ipcns_options run exec' -l ipc-only -d 'only the IPC namespace'
complete -c ipcns -n '__ipcns_options run' -l strict -d 'also process ids, network, host name, /proc and /tmp'
complete -c ipcns -n '__ipcns_options create' -l config -r -d 'read settings from a file'
complete -c ipcns -n '__ipcns_options run create restore clone' -l shm-size -x -d 'size of its /dev/shm (K M G T)'
complete -c ipcns -n '__ipcns_options run create' -l limit -x -a '(__ipcns_limits)' -d 'set a limit'
complete -c ipcns -n '__ipcns_options run exec' -l root -d 'be root in the user namespace'

# The namespace
complete -c ipcns -n '__ipcns_options run' -l name -x -d 'register it as NAME while the command runs'
complete -c ipcns -n '__ipcns_options run' -l wait -d 'at the end wait for other processes inside'
complete -c ipcns -n '__ipcns_options run' -l exec -d 'become the command; nothing is removed at the end'
complete -c ipcns -n '__ipcns_options exec' -l all -d 'in every named namespace'
complete -c ipcns -n '__ipcns_options exec' -s q -l quiet -d 'with --all: without headings'
complete -c ipcns -n '__ipcns_options delete' -l all -d 'every name of yours'
complete -c ipcns -n '__ipcns_options remove clear' -s y -l yes -d 'do not ask'
complete -c ipcns -n '__ipcns_options remove clear' -l dry-run -d 'only say what would be removed'
complete -c ipcns -n '__ipcns_options delete' -l kill -d 'end the processes inside first'
complete -c ipcns -n '__ipcns_options delete' -l timeout -x -d 'seconds between SIGTERM and SIGKILL'

# Objects
complete -c ipcns -n '__ipcns_options show' -s a -l all -d 'every namespace of this host'
complete -c ipcns -n '__ipcns_options show' -l holders -d 'who maps it, has it open, waits for it'
complete -c ipcns -n '__ipcns_options show' -s t -l time -d times
complete -c ipcns -n '__ipcns_options show' -s p -l pid -d 'processes that made it and used it last'
complete -c ipcns -n '__ipcns_options show' -s c -l creator -d 'owners and creators'
complete -c ipcns -n '__ipcns_options show' -s u -l summary -d 'how many, and how much of the limits'
complete -c ipcns -n '__ipcns_options show' -s l -l limits -d 'with --ipcs: the limits'
complete -c ipcns -n '__ipcns_options show' -l ipcs -d 'just as ipcs prints it'

# The program
complete -c ipcns -n '__ipcns_options run exec' -l chdir -x -a '(__fish_complete_directories)' -d 'start it in a folder'
complete -c ipcns -n '__ipcns_options run exec' -l env -x -a '(set -xn)=' -d 'set a variable'
complete -c ipcns -n '__ipcns_options run exec' -l unset -x -a '(set -xn)' -d 'take a variable away'
complete -c ipcns -n '__ipcns_options run exec' -l die-with-parent -d 'kill it when its parent dies'
complete -c ipcns -n '__ipcns_options run exec create delete make remove limits clear save restore clone' -s v -l verbose -d 'say what is done'

# Objects
complete -c ipcns -n '__ipcns_options make' -l size -x -d 'bytes, or bytes of a message (K M G T)'
complete -c ipcns -n '__ipcns_options make' -l count -x -d 'semaphores, or messages'
complete -c ipcns -n '__ipcns_options make' -l limit -x -d 'bytes that a System V queue takes (K M G T)'
complete -c ipcns -n '__ipcns_options make' -l mode -x -d 'permissions, octal'
complete -c ipcns -n '__ipcns_options make' -l value -x -d 'first values of semaphores'
complete -c ipcns -n '__ipcns_options make' -l huge -d 'of huge pages'
complete -c ipcns -n '__ipcns_options make' -l noreserve -d 'reserve no swap space'
complete -c ipcns -n '__ipcns_options make' -l lock -d 'never swap it out'
complete -c ipcns -n '__ipcns_options make' -l allocate -d 'set its memory aside now'
complete -c ipcns -n '__ipcns_options make' -l exclusive -d 'fail when there is one'
complete -c ipcns -n '__ipcns_options make remove' -l owner -x -a '(__fish_complete_users)' -d 'whose it is'
complete -c ipcns -n '__ipcns_options remove diff' -l kind -x -a '(__ipcns_columns msg sem shm mq psem pshm)' -d 'only of these kinds'
complete -c ipcns -n '__ipcns_options diff' -l objects -d 'of processes, too, compare what is in their namespaces'
complete -c ipcns -n '__ipcns_options diff' -l no-content -d 'do not read messages and shared memory'
complete -c ipcns -n '__ipcns_options remove' -l older-than -x -d 'not used for so long (90s 30m 1h 2d)'
complete -c ipcns -n '__ipcns_options remove' -l orphans -d 'only what nobody has'
complete -c ipcns -n '__ipcns_options remove' -l key -x -d 'only with this key'
complete -c ipcns -n '__ipcns_options remove' -l all -d 'everything'
complete -c ipcns -n '__ipcns_options remove' -l force -d 'with --all: also in the host'

complete -c ipcns -n '__ipcns_options peek' -l raw -d 'write only bytes'
complete -c ipcns -n '__ipcns_options peek' -l limit -x -d 'only the first messages'
complete -c ipcns -n '__ipcns_options peek' -l bytes -x -d 'so much of each message (K M G T)'
complete -c ipcns -n '__ipcns_options peek' -l offset -x -d 'shared memory from here on (K M G T)'
complete -c ipcns -n '__ipcns_options peek' -l length -x -d 'so much of it (K M G T)'

# Snapshots
complete -c ipcns -n '__ipcns_options save clone' -l live -d 'hold nobody still'
complete -c ipcns -n '__ipcns_options save clone' -l max-pause -x -d 'give up rather than hold them longer (2 0.5 200ms)'
complete -c ipcns -n '__ipcns_options save clone' -l drain -d 'read POSIX queues without BPF'
complete -c ipcns -n '__ipcns_options save' -l zstd -d 'compress (=1 to 19)'
complete -c ipcns -n '__ipcns_options save' -l precopy -d 'write all of it before they are held still, then what has changed'
complete -c ipcns -n '__ipcns_options restore' -l into -x -a '(__ipcns_targets)' -d 'add it to a namespace that is there'
complete -c ipcns -n '__ipcns_options restore clone' -l map-uid -x -a '(__ipcns_mapped passwd)' -d 'OLD:NEW: give what belonged to a user to another'
complete -c ipcns -n '__ipcns_options restore clone' -l map-gid -x -a '(__ipcns_mapped group)' -d 'OLD:NEW: the same for a group'
complete -c ipcns -n '__ipcns_options restore clone' -l new-ids -d 'let the kernel choose ids'
complete -c ipcns -n '__ipcns_options restore' -l list -d 'only show what is in it'
complete -c ipcns -n '__ipcns_options restore' -l check -d 'only compare every checksum'

# Trials
complete -c ipcns -n '__ipcns_options verify' -l run-options -x -a '--ipc-only --strict' -d 'options of run for the new namespaces'
complete -c ipcns -n '__ipcns_options verify' -l only -x -a '(__ipcns_channels)' -d 'try only these channels'
complete -c ipcns -n '__ipcns_options verify' -l expect -x -a '(__ipcns_channels)' -d 'what must be isolated'
complete -c ipcns -n '__ipcns_options verify' -l limits -d 'also set limits of namespaces that exist already'
complete -c ipcns -n '__ipcns_options verify' -l junit -r -F -d 'also write a JUnit report'

# Tables
complete -c ipcns -n '__ipcns_options verify' -s o -l output -x -d 'columns to show' \
    -a '(__ipcns_columns CHANNEL VERDICT DECIDES CLOSES WHY FORTH BACK EXPECTED MEANING)'
complete -c ipcns -n '__ipcns_options list' -s o -l output -x -d 'columns to show' \
    -a '(__ipcns_columns NS NAME PROCS PID USER HELD COMMAND UID MOUNTS FDS SHM OBJECTS)'
complete -c ipcns -n '__ipcns_options pids' -s o -l output -x -d 'columns to show' \
    -a '(__ipcns_columns PID USER UID COMMAND)'
complete -c ipcns -n '__ipcns_options identify' -s o -l output -x -d 'columns to show' \
    -a '(__ipcns_columns NS NAME PID)'
complete -c ipcns -n '__ipcns_options show' -s o -l output -x -d 'columns to show' \
    -a '(__ipcns_columns NS NSNAME OBJECT KIND ID KEY NAME MODE OWNER UID GROUP GID CREATOR CUID CGROUP CGID SIZE STATE CONTENT MESSAGES LIMIT LSPID LRPID SENT RECEIVED NSEMS VALUES OPERATED RSS SWAP NATTCH CPID LPID ATTACHED DETACHED FLAGS MAXMSG MSGSIZE NOTIFY VALUE WAITERS ALLOC ACCESSED MODIFIED CHANGED BORN DEVICE INODE HOLDERS)'
complete -c ipcns -n '__ipcns_options restore' -s o -l output -x -d 'columns to show' \
    -a '(__ipcns_columns OBJECT KEY UID GID MODE SIZE CONTENT)'
complete -c ipcns -n '__ipcns_options limits' -s o -l output -x -d 'columns to show' \
    -a '(__ipcns_columns KEY VALUE DEFAULT USED USE% MEANING UNIT PATH)'
complete -c ipcns -n '__ipcns_options diff' -s o -l output -x -d 'columns to show' \
    -a '(__ipcns_columns WHAT KIND RESULT FIELD NUMBER OFFSET A B IDA IDB NOTE)'
complete -c ipcns -n '__ipcns_options remove' -s o -l output -x -d 'columns to show' \
    -a '(__ipcns_columns OBJECT KIND KEY OWNER UID MODE SIZE STATE IDLE)'
complete -c ipcns -n '__ipcns_options peek' -s o -l output -x -d 'columns to show' \
    -a '(__ipcns_columns NUMBER TYPE PRIORITY BYTES TEXT DATA VALUE PID WAITINC WAITZERO WAITERS)'
complete -c ipcns -n '__ipcns_options list pids identify show remove limits diff peek restore verify' -s n -l noheadings -d 'no line of headings'
complete -c ipcns -n '__ipcns_options list pids identify monitor show make remove limits diff peek restore verify' -s J -l json -d 'print JSON'
complete -c ipcns -n '__ipcns_options list' -l fds -x -a 'auto always never' -d 'search descriptors'
complete -c ipcns -n '__ipcns_options list' -l objects -d 'also what is in each'
complete -c ipcns -n '__ipcns_options list show limits restore' -s b -l bytes -d 'sizes in bytes'
complete -c ipcns -n '__ipcns_options list show' -s q -l quiet -d 'not a word about what could not be seen'
complete -c ipcns -n '__ipcns_options pids' -s l -l long -d 'a table with users and commands'
