/* The workload: a static HTTP server of one process, small enough that what is measured is the engine.
 * As process 1 it ends on SIGTERM. Its argument is a name by which the bench knows it. */
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void end(int number) { _exit(number - SIGTERM); }

int main(int count, char **words) {
    static const char reply[] = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
    int one = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char request[2048];

    (void)count, (void)words;
    signal(SIGTERM, end);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 64)) return 1;
    for (;;) {
        int client = accept(listening, 0, 0);
        if (client < 0) continue;
        if (read(client, request, sizeof request) > 0) (void)!write(client, reply, strlen(reply));
        shutdown(client, SHUT_WR);
        close(client);
    }
}
