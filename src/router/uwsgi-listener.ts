/**
 * Accepts the connections of uWSGI vassals, a few a turn. Where the process has no descriptor left, who waits would wake
 * the loop for ever: it is accepted with a descriptor that is kept for that, and closed.
 */
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { addToEpoll, changeInEpoll, EPOLLIN } from '../linux/epoll.ts';
import { fastCall, lastErrno } from '../linux/libc.ts';
import { SOCK_CLOEXEC, SOCK_NONBLOCK } from '../linux/unix-socket.ts';

const ACCEPTS_A_TURN = 16;
/** How long to wait before accepting again where there is no descriptor at all. */
const PAUSE_MS = 200;

const { EAGAIN, EINTR, EMFILE, ENFILE } = constants.errno;

export interface UwsgiListenerSetting {
  /** Listens, not blocking. */
  readonly fd: number;
  readonly epoll: number;
  readonly token: number;
  /** Gets a socket, not blocking, which is its own from now on. */
  readonly onConnection: (fd: number) => void;
  /** One was closed because there was no descriptor for it. */
  readonly onRefused: () => void;
}

export class UwsgiListener {
  readonly #setting: UwsgiListenerSetting;
  /** Given up for a moment to accept, and refuse. */
  #spare = openSync('/dev/null', 'r');
  #isAccepting = true;
  readonly #accept = fastCall<[fd: number, address: number, length: number, flags: number]>(
    'int accept4(int, uintptr_t, uintptr_t, int)',
  );

  constructor(setting: UwsgiListenerSetting) {
    this.#setting = setting;
    const { epoll, fd, token } = setting;
    addToEpoll(epoll, { fd, events: EPOLLIN, token });
  }

  /** How long the loop may wait for events, in milliseconds; -1 for ever. */
  get timeoutMs(): number {
    return this.#isAccepting ? -1 : PAUSE_MS;
  }

  /** Goes on after a pause; to be called after each wait. */
  resume(): void {
    if (!this.#isAccepting) this.#listen(true);
  }

  serve(): void {
    for (let i = 0; i < ACCEPTS_A_TURN; i += 1) {
      const fd = this.#accept(this.#setting.fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        this.#setting.onConnection(fd);
        continue;
      }
      const errno = lastErrno();
      if (errno === EMFILE || errno === ENFILE) this.#refuseOne();
      else if (errno !== EAGAIN && errno !== EINTR) this.#listen(false);
      return;
    }
  }

  close(): void {
    if (this.#spare >= 0) closeSync(this.#spare);
  }

  #refuseOne(): void {
    if (this.#spare >= 0) closeSync(this.#spare);
    const fd = this.#accept(this.#setting.fd, 0, 0, SOCK_CLOEXEC);
    if (fd >= 0) closeSync(fd);
    this.#setting.onRefused();
    try {
      this.#spare = openSync('/dev/null', 'r');
    } catch {
      // Another thread was faster: there is none left, so nobody is accepted for a while.
      this.#spare = -1;
      this.#listen(false);
    }
  }

  #listen(isAccepting: boolean): void {
    this.#isAccepting = isAccepting;
    const { epoll, fd, token } = this.#setting;
    changeInEpoll(epoll, { fd, events: isAccepting ? EPOLLIN : 0, token });
  }
}
