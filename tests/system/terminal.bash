# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A real terminal for a test, after `load common`: tmux with a server of its own, typing into it and reading its screen.
# What a test looks for stands at the start of a line, where the echo of what was typed never is (it follows a prompt).
# teardown calls end_terminals.

# shellcheck disable=SC2154 # common.bash and bats set the variables

# tmux with the test's own server; TERMINAL is which pane the functions below mean.
the_tmux() { tmux -S "$BATS_TEST_TMPDIR/tmux" -f /dev/null "$@" 3>&-; }

# Opens a terminal of 100 x 40 with a shell whose prompt is "outer> ", or with a command.
start_terminal() { # [COMMAND...]
    need tmux
    if (($# == 0)); then set -- env "PS1=outer> " HISTFILE= bash --norc --noprofile; fi
    the_tmux new-session -d -x 100 -y 40 -c "$PWD" -- "$@"
    TERMINAL=$(the_tmux list-panes -a -F '#{session_id}:#{pane_id}' | tail -n 1)
    TERMINAL=${TERMINAL#*:}
    the_tmux set-option -g status off
    the_tmux set-option -g remain-on-exit off
    the_tmux resize-window -t "$TERMINAL" -x 100 -y 40
}

end_terminals() {
    if [[ -S $BATS_TEST_TMPDIR/tmux ]]; then the_tmux kill-server 2>/dev/null || true; fi
}

press() { the_tmux send-keys -t "$TERMINAL" -- "$@"; } # KEY..., as tmux calls it: C-c, Enter

enter() { # LINE
    the_tmux send-keys -t "$TERMINAL" -l -- "$1"
    press Enter
}

# All that was on the screen, long lines in one piece.
screen() { the_tmux capture-pane -p -J -S - -t "$TERMINAL"; }

# Waits until a line of the screen matches from its start to its end.
see() { # REGEX
    wait_until 15 on_screen "$1" || {
        printf 'never saw "%s" on the screen:\n%s\n' "$1" "$(screen)"
        return 1
    }
}

# Also as it stands there: where what was typed fills its line, what follows is taken for the rest of it.
on_screen() {
    { screen; the_tmux capture-pane -p -S - -t "$TERMINAL"; } 2>/dev/null | sed 's/ *$//' | grep -xE -- "$1" >/dev/null
}

# Waits for the prompt at the end of the last line, with nothing typed after it (the ^C of a key may stand before it).
see_prompt() { # [PROMPT]
    wait_until 15 at_prompt "${1:-outer>}" || {
        printf 'no prompt "%s" at the end of the screen:\n%s\n' "${1:-outer>}" "$(screen)"
        return 1
    }
}

at_prompt() { [[ $(screen 2>/dev/null | grep -v '^ *$' | tail -n 1 | sed 's/ *$//') == *"$1" ]]; }

one_line() { (($(screen | grep -vc '^ *$') == 1)); }

# Forgets what was on the screen.
clear_screen() {
    enter 'clear'
    wait_until 15 one_line
    the_tmux clear-history -t "$TERMINAL"
}

state_of() { sed -nE 's/^State:\t(.).*/\1/p' "/proc/$1/status"; }
is_stopped() { [[ $(state_of "$1") == T ]]; }
is_running() { [[ $(state_of "$1") == [SRD] ]]; }
