// SPDX-License-Identifier: Apache-2.0
// Lists a directory and calls lstat(2) for its entries. Built with -m32 and without large files, its inode numbers have 32 bits.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	struct stat st;
	int names = 0;

	if (!dir || chdir(argv[1])) {
		perror("list32 DIR");
		return 2;
	}
	for (errno = 0; (entry = readdir(dir)); errno = 0, names++) {
		if (lstat(entry->d_name, &st)) {
			printf("lstat %s: %s\n", entry->d_name, strerror(errno));
			return 1;
		}
		if (st.st_ino != entry->d_ino && strcmp(entry->d_name, "..") != 0) {
			printf("%s: lstat says %lu, readdir %lu\n", entry->d_name, (long)st.st_ino, (long)entry->d_ino);
			return 1;
		}
	}
	if (errno) {
		printf("readdir: %s\n", strerror(errno));
		return 1;
	}
	printf("%d\n", names);
	return 0;
}
