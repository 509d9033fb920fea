# SPDX-License-Identifier: Apache-2.0
# Completion for bash: `. completion/hakperf.bash`. Verbs and options are asked of the command itself.
_hakperf() {
	local command=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]:-}
	local -a words=()
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t words < <("$command" words 2>/dev/null)
	elif [[ $word == -* ]]; then
		mapfile -t words < <("$command" help "$verb" 2>/dev/null | grep -oE '(^|[ ,[])--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u)
	else
		mapfile -t words < <(git for-each-ref --format='%(refname:short)' 2>/dev/null; printf '%s\n' HEAD worktree
			git log --format='%(trailers:key=Phase,valueonly)' 2>/dev/null | sed -n 's/^\(.\{1,\}\)$/phase:\1/p')
	fi
	mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$word")
	# bash splits words at colons: offer what follows the last one.
	if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
		COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
	fi
}
complete -o default -F _hakperf hakperf
