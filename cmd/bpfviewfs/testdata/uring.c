// SPDX-License-Identifier: Apache-2.0
// Reads a file to its end through io_uring, with explicit offsets: uring FILE SIZE TIMES.
// Prints a line each time, with the number of bytes and the number that the file begins with.
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	size_t size = argc > 3 ? strtoul(argv[2], NULL, 10) : 0;
	int times = argc > 3 ? atoi(argv[3]) : 0;
	int fd = argc > 3 ? open(argv[1], O_RDONLY) : -1;
	char *buf = malloc(size + 1), first[32];
	int err = io_uring_queue_init(4, &ring, 0);

	if (fd < 0 || err || !buf) {
		perror("uring FILE SIZE TIMES");
		return 2;
	}
	for (int i = 0; i < times; i++) {
		long long total = 0;
		int n;

		do {
			struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

			io_uring_prep_read(sqe, fd, buf, size, total);
			io_uring_submit(&ring);
			if (io_uring_wait_cqe(&ring, &cqe))
				return 3;
			n = cqe->res;
			io_uring_cqe_seen(&ring, cqe);
			if (n < 0) {
				fprintf(stderr, "read at %lld: %s\n", total, strerror(-n));
				return 1;
			}
			if (total == 0)
				snprintf(first, sizeof first, "%.*s", n < 16 ? n : 16, buf);
			total += n;
		} while (n > 0);
		printf("%lld %d\n", total, atoi(first));
	}
	return 0;
}
