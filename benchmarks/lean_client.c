/* The leanest streaming client we can write: the floor against which the harness's CPU per token is held.
 *
 *     cc -O2 -o lean_client lean_client.c && ./lean_client PORT STREAMS SECONDS BODY.json
 *
 * One epoll loop, STREAMS connections to 127.0.0.1, each sends the same chat request again as soon as its
 * last answer ended. A read is: recv, a look at the clock, a search for the terminating chunk. It counts
 * events ("data:") and prints one JSON object: reads, events, requests, the seconds of CPU it took, and
 * quantiles of the time to the first event that holds content.
 */
#define _GNU_SOURCE /* memmem */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 65536, MAX_SAMPLES = 1 << 20 };

struct stream {
    int fd;
    int waiting; /* for the first content */
    double sent;
};

static char request[BUFFER];
static size_t request_size;
static double samples[MAX_SAMPLES];
static size_t sample_count;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int connected(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void ask(struct stream *s) {
    s->waiting = 1;
    s->sent = now();
    if (send(s->fd, request, request_size, 0) != (ssize_t)request_size) die("send");
}

static long count(const char *at, const char *end, const char *word) {
    long found = 0;
    size_t size = strlen(word);
    while ((at = memmem(at, end - at, word, size)) != NULL) {
        found++;
        at += size;
    }
    return found;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double q) {
    return sample_count ? samples[(size_t)(q * (sample_count - 1))] : 0;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: lean_client PORT STREAMS SECONDS BODY.json\n");
        return 2;
    }
    int port = atoi(argv[1]), streams = atoi(argv[2]);
    double seconds = atof(argv[3]);
    char body[BUFFER / 2];
    FILE *file = fopen(argv[4], "rb");
    if (!file) die(argv[4]);
    size_t body_size = fread(body, 1, sizeof body, file);
    fclose(file);
    request_size = snprintf(request, sizeof request,
                            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                            "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body_size);
    memcpy(request + request_size, body, body_size);
    request_size += body_size;

    int poller = epoll_create1(0);
    struct stream *all = calloc(streams, sizeof *all);
    double begin = now(), end = begin + seconds;
    for (int i = 0; i < streams; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        all[i].fd = connected(port);
        epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event);
        ask(&all[i]);
    }
    static char buffer[BUFFER];
    struct epoll_event ready[1024];
    long reads = 0, events = 0, requests = 0;
    double t;
    while ((t = now()) < end) {
        int n = epoll_wait(poller, ready, 1024, 100);
        for (int i = 0; i < n; i++) {
            struct stream *s = ready[i].data.ptr;
            ssize_t size = recv(s->fd, buffer, sizeof buffer, 0);
            t = now();
            if (size <= 0) die("recv");
            reads++;
            events += count(buffer, buffer + size, "data:");
            if (s->waiting && count(buffer, buffer + size, "\"content\": \"") >
                                  count(buffer, buffer + size, "\"content\": \"\"")) {
                s->waiting = 0;
                if (sample_count < MAX_SAMPLES) samples[sample_count++] = t - s->sent;
            }
            if (size >= 5 && memcmp(buffer + size - 5, "0\r\n\r\n", 5) == 0) {
                requests++;
                ask(s);
            }
        }
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_utime.tv_usec * 1e-6 + used.ru_stime.tv_sec + used.ru_stime.tv_usec * 1e-6;
    qsort(samples, sample_count, sizeof *samples, ascending);
    printf("{\"seconds\": %.3f, \"reads\": %ld, \"events\": %ld, \"requests\": %ld, \"cpu_s\": %.3f, "
           "\"ttft_p50_ms\": %.3f, \"ttft_p99_ms\": %.3f}\n",
           t - begin, reads, events, requests, cpu, quantile(0.5) * 1e3, quantile(0.99) * 1e3);
    return 0;
}
