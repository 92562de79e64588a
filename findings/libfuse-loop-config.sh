#!/bin/bash
# Guess:     a libfuse program that compiles without a warning passes the configuration of its loop
#            in the form that the library reads; FUSE_USE_VERSION only selects functions.
# Behaviour: fuse_loop_cfg_create() is declared for every version of the API, and its struct has the
#            name of the older one. With FUSE_USE_VERSION 34, fuse_session_loop_mt() is a macro for
#            the variant that reads the old struct, whose fields mean other things: "clone_fd" is
#            set and "max_idle_threads" is another number, although the program has set neither.
#            -Wall -Wextra say nothing. With 312 all is well.
# Versions:  libfuse 3.14.0 of Debian 12 (libfuse3-dev 3.14.0-4), gcc 12. Needs apt, gcc and
#            libc6-dev.
# Seen:      34: fuse_session_loop_mt_32, no warning
#            312: fuse_session_loop_mt, no warning
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download libfuse3-dev=3.14.0-4 2>/dev/null
dpkg-deb -x ./*.deb root
cat >loop.c <<'END'
#include <fuse_lowlevel.h>

int loop(struct fuse_session *session)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int status = fuse_session_loop_mt(session, config);

	fuse_loop_cfg_destroy(config);
	return status;
}
END
for version in 34 312; do
	gcc -Wall -Wextra -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=$version -Iroot/usr/include/fuse3 -c loop.c -o loop.o 2>warnings
	called=$(nm loop.o | grep -o 'fuse_session_loop_mt.*')
	echo "$version: $called, $([ -s warnings ] && cat warnings || echo no warning)"
done | tee seen

diff - seen <<'END'
34: fuse_session_loop_mt_32, no warning
312: fuse_session_loop_mt, no warning
END
