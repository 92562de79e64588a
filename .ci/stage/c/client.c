// SPDX-License-Identifier: Apache-2.0
/*
 * A client of the benchmarks: a job a line on stdin, an answer on stdout.
 *
 *	KIND THREADS COUNT MILLISECONDS BUFFER PATH...
 *
 * Each of THREADS threads repeats the operation KIND with its PATH. Thread i has PATH i modulo their
 * number. The job ends after COUNT operations of each thread, after MILLISECONDS, or with another line;
 * 0 is no limit.
 *
 * The first line of the answer, "started", comes when all threads are in their first operation. The
 * second comes at the end: OPERATIONS ERRORS ERRNO NANOSECONDS SAMPLES. The times of SAMPLES operations
 * follow, in nanoseconds, as uint64.
 *
 * The client is written in C because its cost counts: clients and server share the CPUs. A thread costs
 * its system calls, and there are no other threads, timers or garbage.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/bpf.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct worker {
	pthread_t thread;
	const char *path;
	char *buffer;
	int fd;
	uint64_t operations, errors, first, last; /* the times of its first beginning and last end */
	int error;
	uint64_t *samples;
	size_t sampled, room;
};

static const struct kind {
	const char *name;
	int (*prepare)(struct worker *w), (*operation)(struct worker *w);
} *kind;
static unsigned long threads, count, milliseconds, buffer_size;
static volatile bool stop;
static atomic_ulong started;
static pthread_barrier_t start;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Reads fd to its end, and closes it. */
static int drain(struct worker *w, int fd)
{
	ssize_t n;

	if (fd < 0)
		return errno;
	while ((n = read(fd, w->buffer, buffer_size)) > 0)
		;
	int error = n < 0 ? errno : 0;
	close(fd);
	return error;
}

static int do_open(struct worker *w)
{
	return drain(w, open(w->path, O_RDONLY | O_CLOEXEC));
}

static int hold(struct worker *w)
{
	w->fd = open(w->path, O_RDONLY | O_CLOEXEC);
	return w->fd < 0 ? errno : 0;
}

static int do_pread(struct worker *w)
{
	return pread(w->fd, w->buffer, buffer_size, 0) < 0 ? errno : 0;
}

static int do_stat(struct worker *w)
{
	struct stat st;

	return stat(w->path, &st) < 0 ? errno : 0;
}

/* As ls(1) without looking at the entries. */
static int do_list(struct worker *w)
{
	int fd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (fd < 0)
		return errno;
	while ((n = syscall(SYS_getdents64, fd, w->buffer, buffer_size)) > 0)
		;
	int error = n < 0 ? errno : 0;
	close(fd);
	return error;
}

static int do_mkdir(struct worker *w)
{
	return mkdir(w->path, 0755) || rmdir(w->path) ? errno : 0;
}

/* A link, an iterator, reads to its end: a view's run, and nothing else. */
static int run(struct worker *w, int program, int order)
{
	union bpf_iter_link_info info = { .cgroup = { .order = order, .cgroup_fd = w->fd } };
	union bpf_attr link = { .link_create = { .prog_fd = program, .attach_type = BPF_TRACE_ITER,
		.iter_info = (uint64_t)&info, .iter_info_len = sizeof info } };
	int link_fd = syscall(SYS_bpf, BPF_LINK_CREATE, &link, sizeof link);

	if (link_fd < 0)
		return errno;
	union bpf_attr iterator = { .iter_create = { .link_fd = link_fd } };
	int error = drain(w, syscall(SYS_bpf, BPF_ITER_CREATE, &iterator, sizeof iterator));
	close(link_fd);
	return error;
}

static int do_run(struct worker *w) { return run(w, 3, BPF_CGROUP_ITER_SELF_ONLY); }
static int do_descend(struct worker *w) { return run(w, 4, BPF_CGROUP_ITER_DESCENDANTS_PRE); }

/*
 * Reads cpu.stat of every cgroup in a tree, or its three files of pressure, or those of CPU times, memory and
 * pressure of CPUs. The paths are known before, so that no listing is counted.
 */
static char **paths;
static size_t path_count;

static int note_file(const char *path, const char *file)
{
	paths = realloc(paths, (path_count + 1) * sizeof *paths);
	return asprintf(&paths[path_count++], "%s/%s", path, file) < 0;
}

static int note_cpu(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return type == FTW_D && note_file(path, "cpu.stat");
}

static int note_pressure(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return type == FTW_D && (note_file(path, "cpu.pressure") || note_file(path, "memory.pressure") ||
				 note_file(path, "io.pressure"));
}

static int note_metrics(const char *path, const struct stat *st, int type, struct FTW *f)
{
	char memory[4096];

	if (type != FTW_D)
		return 0;
	snprintf(memory, sizeof memory, "%s/memory.current", path);
	return note_file(path, "cpu.stat") || note_file(path, "cpu.pressure") ||
	       (!access(memory, R_OK) && note_file(path, "memory.current"));
}

static int note(struct worker *w, __nftw_func_t each)
{
	path_count = 0;
	return chdir(w->path) || nftw(".", each, 16, FTW_PHYS) ? errno : 0;
}

static int prepare_walk(struct worker *w) { return note(w, note_cpu); }
static int prepare_metrics(struct worker *w) { return note(w, note_metrics); }
static int prepare_pressure(struct worker *w) { return note(w, note_pressure); }

static int do_walk(struct worker *w)
{
	for (size_t i = 0; i < path_count; i++) {
		int error = drain(w, open(paths[i], O_RDONLY | O_CLOEXEC));

		if (error)
			return error;
	}
	return 0;
}

static const struct kind kinds[] = {
	{ "open", NULL, do_open }, { "pread", hold, do_pread }, { "stat", NULL, do_stat }, { "list", NULL, do_list },
	{ "mkdir", NULL, do_mkdir }, { "run", hold, do_run }, { "descend", hold, do_descend },
	{ "walk", prepare_walk, do_walk },
	{ "walk-pressure", prepare_pressure, do_walk },
	{ "walk-metrics", prepare_metrics, do_walk },
};

static void *work(void *arg)
{
	struct worker *w = arg;

	w->fd = -1;
	w->error = kind->prepare ? kind->prepare(w) : 0;
	bool ready = !w->error;
	pthread_barrier_wait(&start);
	if (!ready)
		w->errors++;
	if (atomic_fetch_add(&started, 1) + 1 == threads && write(1, "started\n", 8) != 8)
		exit(1);
	while (ready && !stop && (!count || w->operations + w->errors < count)) {
		uint64_t before = now();
		int error = kind->operation(w);
		w->last = now();
		uint64_t took = w->last - before;

		w->first = w->first ? w->first : before;
		if (error) {
			w->errors++;
			w->error = error;
			continue;
		}
		w->operations++;
		if (w->sampled == w->room) {
			w->room = w->room ? 2 * w->room : 64;
			w->samples = realloc(w->samples, w->room * sizeof *w->samples);
		}
		w->samples[w->sampled++] = took;
	}
	if (w->fd >= 0)
		close(w->fd);
	return NULL;
}

static void *watch(void *arg)
{
	struct pollfd line = { .fd = 0, .events = POLLIN };

	poll(&line, 1, milliseconds ? (int)milliseconds : -1);
	stop = true;
	return NULL;
}

static void job(const char *path[], size_t n)
{
	struct worker *workers = calloc(threads, sizeof *workers);
	uint64_t operations = 0, errors = 0, samples = 0, first = UINT64_MAX, last = 0;
	pthread_attr_t attr;
	pthread_t watcher;
	int error = 0;

	stop = false;
	started = 0;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_barrier_init(&start, NULL, threads + 1);
	for (size_t i = 0; i < threads; i++) {
		workers[i] = (struct worker){ .path = path[i % n], .buffer = malloc(buffer_size) };
		if (pthread_create(&workers[i].thread, &attr, work, &workers[i])) {
			perror("client: start a thread");
			exit(1);
		}
	}
	/* COUNT ends a job without a look at the clock, so that nothing else runs beside one reader. */
	bool watched = milliseconds || !count;
	pthread_barrier_wait(&start);
	if (watched)
		pthread_create(&watcher, &attr, watch, NULL);
	for (size_t i = 0; i < threads; i++) {
		struct worker *w = &workers[i];

		pthread_join(w->thread, NULL);
		operations += w->operations;
		errors += w->errors;
		samples += w->sampled;
		error = w->error ? w->error : error;
		first = w->first && w->first < first ? w->first : first;
		last = w->last > last ? w->last : last;
		free(w->buffer);
	}
	if (watched) {
		pthread_cancel(watcher);
		pthread_join(watcher, NULL);
	}
	printf("%lu %lu %d %lu %lu\n", operations, errors, error, last ? last - first : 0, samples);
	for (size_t i = 0; i < threads; i++) {
		fwrite(workers[i].samples, sizeof(uint64_t), workers[i].sampled, stdout);
		free(workers[i].samples);
	}
	fflush(stdout);
	pthread_barrier_destroy(&start);
	free(workers);
}

/* A line by read(2), not stdio: watch polls for the next one. */
static bool next_line(char *line, size_t size)
{
	for (size_t n = 0; n < size && read(0, &line[n], 1) == 1; n++)
		if (line[n] == '\n') {
			line[n] = 0;
			return true;
		}
	return false;
}

int main(void)
{
	static char line[1 << 16];
	static const char *path[4096];

	while (next_line(line, sizeof line)) {
		char *rest = line, *word = strsep(&rest, " ");
		size_t n = 0;

		if (!*word) /* the end of a job that had ended already */
			continue;
		for (kind = kinds; strcmp(kind->name, word); kind++)
			if (kind == &kinds[sizeof kinds / sizeof *kinds - 1]) {
				fprintf(stderr, "client: no kind %s\n", word);
				return 1;
			}
		threads = strtoul(rest, &rest, 10);
		count = strtoul(rest, &rest, 10);
		milliseconds = strtoul(rest, &rest, 10);
		buffer_size = strtoul(rest, &rest, 10);
		for (rest++; n < 4096 && (word = strsep(&rest, " ")); n++)
			path[n] = word;
		job(path, n);
	}
	return 0;
}
