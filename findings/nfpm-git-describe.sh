#!/bin/bash
# Guess:     the version that git describe gives between two releases, v1.2.0-3-gabc1234, makes a
#            package that is newer than the one of release v1.2.0, as it is three commits later.
# Behaviour: nfpm reads the rest as a pre-release of semantic versioning and writes
#            1.2.0~3-gabc1234, which dpkg and rpm sort before 1.2.0. Whoever installs it over the
#            release is told of a downgrade. The same goes for -dirty.
# Versions:  github.com/goreleaser/nfpm/v2 v2.45.0 (Go 1.26), dpkg of Debian 12. Needs go and dpkg.
# Seen:      v1.2.0: 1.2.0
#            v1.2.0-3-gabc1234: 1.2.0~3-gabc1234, older than the release
#            v1.2.0-dirty: 1.2.0~dirty, older than the release
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
GOBIN=$work go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0 2>log
cat >nfpm.yaml <<'END'
name: tool
arch: amd64
platform: linux
version: ${VERSION}
maintainer: Maintainers <maintainers@example.org>
description: a tool
contents:
- src: ./nfpm.yaml
  dst: /usr/share/tool/nfpm.yaml
END
for version in v1.2.0 v1.2.0-3-gabc1234 v1.2.0-dirty; do
	VERSION=$version ./nfpm package -p deb -t tool.deb >>log
	got=$(dpkg-deb -f tool.deb Version)
	older=
	! dpkg --compare-versions "$got" lt 1.2.0 || older=", older than the release"
	echo "$version: $got$older"
done | tee seen

diff - seen <<'END'
v1.2.0: 1.2.0
v1.2.0-3-gabc1234: 1.2.0~3-gabc1234, older than the release
v1.2.0-dirty: 1.2.0~dirty, older than the release
END
