/* The workload: a static HTTP server of one process, small enough that what is measured is the engine.
 * As process 1 it ends on SIGTERM. Its argument is a name by which the bench knows it; the last one is what it says, and
 * takes it the milliseconds behind a `+` in it until it listens. */
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void end(int number) { _exit(number - SIGTERM); }

int main(int count, char **words) {
    static char head[] = "HTTP/1.0 200 OK\r\n\r\n";
    char *said = count > 1 ? words[count - 1] : "ok", *late = strchr(said, '+');
    struct iovec reply[] = {{head, strlen(head)}, {said, strlen(said)}};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
    int one = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char request[2048];

    signal(SIGTERM, end);
    if (late) usleep(1000 * atoi(late + 1));
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 64)) return 1;
    for (;;) {
        int client = accept(listening, 0, 0);
        if (client < 0) continue;
        if (read(client, request, sizeof request) > 0) (void)!writev(client, reply, 2);
        shutdown(client, SHUT_WR);
        close(client);
    }
}
