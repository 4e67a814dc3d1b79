/* A disk that forgets what was not flushed.

   Loaded before the C library, it copies each file below the folder FORGETFUL_DISK to the folder KEPT_ON_DISK at the
   moment at which the file is flushed. What a power cut would leave is there, and nothing else. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static void keep(int file)
{
    const char *folder = getenv("FORGETFUL_DISK"), *kept = getenv("KEPT_ON_DISK");
    char link[64], name[PATH_MAX], copy[PATH_MAX], unfinished[PATH_MAX], buffer[65536];
    ssize_t length;
    off_t at = 0;
    int to;

    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = readlink(link, name, sizeof name - 1);
    if (length < 0 || !folder || !kept)
        return;
    name[length] = 0;
    if (strncmp(name, folder, strlen(folder)) || !strrchr(name, '/'))
        return;
    snprintf(copy, sizeof copy, "%s/%s", kept, strrchr(name, '/') + 1);
    snprintf(unfinished, sizeof unfinished, "%s.%d.%d", copy, (int)getpid(), (int)gettid());
    to = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    while ((length = pread(file, buffer, sizeof buffer, at)) > 0) {
        if (write(to, buffer, length) != length)
            abort();
        at += length;
    }
    close(to);
    rename(unfinished, copy);
}

int fsync(int file)
{
    keep(file);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file)
{
    keep(file);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
