/**
 * What a shell has to be told: each time it asks `slipway completion words WORD...`, which answers with a line for each word
 * that fits (the word, a tab, what it means), and ':files' where files fit as well.
 */
const bash = `# bash completion for slipway: eval "$(slipway completion bash)"
_slipway() {
  local words line last index given word file
  read -ra words <<<"\${COMP_LINE:0:COMP_POINT}"
  line=\${COMP_LINE:0:COMP_POINT}
  case $line in *[[:space:]]) words+=('') ;; esac
  last=\${words[\${#words[@]}-1]}
  # ':' and '=' separate words for readline: what it takes for the word is only the end of what was typed.
  word=\${COMP_WORDS[COMP_CWORD]}
  case $word in [:=]) word= ;; esac
  given=$((\${#last} - \${#word}))
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :files) file=1; continue ;;
    esac
    line=\${line%%$'\\t'*}
    case $line in *[:=]) compopt -o nospace ;; esac
    COMPREPLY+=("\${line:given}")
  done < <("\${words[0]}" completion words "\${words[@]:1}" 2>/dev/null)
  if [ -n "$file" ] && [ \${#COMPREPLY[@]} -eq 0 ]; then compopt -o default; fi
}
complete -F _slipway slipway
`

const zsh = `#compdef slipway
# zsh completion for slipway: source <(slipway completion zsh), or as a file _slipway in a directory of $fpath
_slipway() {
  local -a lines found open
  local line word files
  lines=("\${(@f)$("\${(Q)words[1]}" completion words "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}")
  for line in $lines; do
    if [[ $line == :files ]]; then files=1; continue; fi
    word=\${line%%$'\\t'*}
    case $word in
      '') ;;
      *[:=]) open+=("\${word//:/\\\\:}:\${line#*$'\\t'}") ;;
      *) found+=("\${word//:/\\\\:}:\${line#*$'\\t'}") ;;
    esac
  done
  (( \${#found} )) && _describe slipway found
  (( \${#open} )) && _describe slipway open -S ''
  (( \${#found} + \${#open} )) || [[ -z $files ]] || _files
}
if [[ $funcstack[1] == _slipway ]]; then _slipway "$@"; else compdef _slipway slipway; fi
`

const fish = `# fish completion for slipway: slipway completion fish | source
function __slipway_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in ($words[1] completion words $words[2..-1] 2>/dev/null)
    if test "$line" = ':files'
      __fish_complete_path (commandline -ct)
    else
      echo -- $line
    end
  end
end
complete -c slipway -f -a '(__slipway_complete)'
`

export const scripts: Readonly<Record<string, string>> = { bash, zsh, fish }
