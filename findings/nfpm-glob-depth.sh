#!/bin/bash
# Guess:     contents with src: share/**/* and dst: /usr/share put each file at the place below /usr/share
#            that it has below share.
# Behaviour: nfpm cuts off the longest directory that all the files found have in common, not the part of
#            the pattern without wildcards. With manuals of one section alone they land in /usr/share itself.
#            Another file somewhere else moves them: a package's paths depend on which other files
#            there are. There is no warning. "type: tree" keeps the places.
# Versions:  github.com/goreleaser/nfpm/v2 v2.45.0 (Go 1.26), dpkg of Debian 12. Needs go and dpkg.
# Seen:      one section: /usr/share/tool.1
#            two sections: /usr/share/man1/tool.1
#            manuals and an icon: /usr/share/man/man1/tool.1
#            type: tree, one section: /usr/share/man/man1/tool.1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
GOBIN=$work go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0 2>log
settings() { # SRC TYPE
	cat >nfpm.yaml <<-END
		name: tool
		arch: amd64
		version: 1.0.0
		maintainer: Maintainers <maintainers@example.org>
		description: a tool
		contents:
		- src: $1
		  dst: /usr/share
		  type: $2
	END
}
file() { # PATH
	mkdir -p "$(dirname "$1")"
	echo text >"$1"
}
place() { # WHAT
	./nfpm package -p deb -t tool.deb >>log
	echo "$1: $(dpkg-deb -c tool.deb | sed -n 's/.* \.\(.*tool\.1\)$/\1/p')"
}
{
	settings 'share/**/*' file
	file share/man/man1/tool.1
	place "one section"
	file share/man/man5/tool.5
	place "two sections"
	file share/icons/tool.svg
	place "manuals and an icon"
	rm -r share/icons share/man/man5
	settings share/ tree
	place "type: tree, one section"
} | tee seen

diff - seen <<'END'
one section: /usr/share/tool.1
two sections: /usr/share/man1/tool.1
manuals and an icon: /usr/share/man/man1/tool.1
type: tree, one section: /usr/share/man/man1/tool.1
END
