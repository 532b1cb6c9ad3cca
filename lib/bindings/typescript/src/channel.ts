// SPDX-License-Identifier: MIT
import "./dispose.js";
import { path as checkPath, u32, whole } from "./argument.js";
import { check, KrepisError, LayoutMismatch } from "./error.js";
import { type Pointer } from "./interface.js";
import { cText, EBADF } from "./library.js";
import { native, runtime } from "./runtime.js";
import { type ChannelOptions, encode, type Status, status } from "./status.js";

/** Where C writes a pointer that comes back. */
export const out = new BigUint64Array(1);
export const outWords = new Uint32Array(out.buffer);

/** The address in two words. A bigint would be an allocation. */
export function address(words: Uint32Array, at = 0): number {
  return words[at]! + words[at + 1]! * 2 ** 32;
}

const descriptor = (value: number) => whole(value, 0x7fffffff, "fd");

type Handle = { pointer: Pointer | null };

// The last resort for channels that nobody closed.
const dropped = new FinalizationRegistry<Handle>(({ pointer }) => native.krepis_channel_close(pointer));

/** Memory that producers and consumers attach to. It may be closed when they are. */
export class Channel implements Disposable {
  readonly #handle: Handle;

  private constructor() {
    this.#handle = { pointer: runtime.pointer(address(outWords)) };
    dropped.register(this, this.#handle, this.#handle);
  }

  /**
   * Makes one.
   * @param path a new file on tmpfs or on a krepis mount; a name without "/" stands in Channel.directory(); null:
   *   no name, it travels by its fd
   */
  static create(path: string | null, options: ChannelOptions = {}): Channel {
    const name = path === null ? null : cText(checkPath(path));
    check(native.krepis_channel_create(name, encode(options), out), `create ${path ?? "a channel"}`);
    return new Channel();
  }

  /**
   * Opens one by its name, or by a descriptor, which stays the caller's.
   * @param options layoutId: of the header that the caller was made of; 0: unchecked
   */
  static open(where: string | number, options: { layoutId?: number } = {}): Channel {
    const open = () =>
      typeof where === "number"
        ? native.krepis_channel_open_fd(descriptor(where), 0, out)
        : native.krepis_channel_open(cText(checkPath(where)), 0, out);
    return Channel.#opened(open, `open ${where}`, options);
  }

  /**
   * Receives what another process gave to pass(). Blocks until it comes, if the socket does.
   * @param socket the descriptor of a connected UNIX socket, which stays the caller's
   * @param options as for open()
   */
  static receive(socket: number, options: { layoutId?: number } = {}): Channel {
    return Channel.#opened(() => native.krepis_channel_receive(descriptor(socket), 0, out), `receive from ${socket}`, options);
  }

  /** The library compares layouts as well; but who is refused by it has no channel to ask for its own. */
  static #opened(open: () => number, what: string, options: { layoutId?: number }): Channel {
    const ours = u32(options.layoutId ?? 0, "layoutId");
    check(open(), what);
    const channel = new Channel();
    const theirs = ours ? channel.query().geometry.layoutId : 0;
    if (theirs === 0 || theirs === ours) return channel;
    channel.close();
    throw new LayoutMismatch(what, theirs, ours);
  }

  /** Removes a name. Who uses the channel goes on. */
  static unlink(path: string): void {
    check(native.krepis_unlink(cText(checkPath(path))), `unlink ${path}`);
  }

  /** Where names without "/" stand. */
  static directory(): string {
    const room = new Uint8Array(108);
    check(native.krepis_directory(room, runtime.size(room.length)), "directory");
    return new TextDecoder().decode(room.subarray(0, room.indexOf(0)));
  }

  /** For inheritance. Close-on-exec, so pass it on with the stdio of who is started. */
  get fd(): number {
    return native.krepis_channel_fd(this.pointer);
  }

  /** Sends it to receive() of another process. Only one without a name; others travel by theirs. @param socket as there */
  pass(socket: number): void {
    check(native.krepis_channel_pass(this.pointer, descriptor(socket)), `pass to ${socket}`);
  }

  query(): Status {
    return status((room) => check(native.krepis_query(this.pointer, room), "query"));
  }

  /** Its endpoints live on. */
  close(): void {
    const { pointer } = this.#handle;
    if (pointer === null) return;
    this.#handle.pointer = null;
    dropped.unregister(this.#handle);
    native.krepis_channel_close(pointer);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  get pointer(): Pointer {
    const { pointer } = this.#handle;
    if (pointer === null) throw new KrepisError(EBADF, "Channel", "it was closed");
    return pointer;
  }
}
