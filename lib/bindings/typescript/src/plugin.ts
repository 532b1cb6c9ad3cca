// SPDX-License-Identifier: MIT
import { spawn } from "node:child_process";
import { type Channel } from "./channel.js";

export interface PluginOptions {
  /** Made with Channel.create(null): who may open no file can still open that. */
  channel: Channel;
  /** The command krepis, if it is not in $PATH. */
  krepis?: string;
  /** More options of krepis run: "--timeout=10". */
  options?: string[];
}

/** Of ChildProcess of node:child_process what one needs; it is one. */
export interface Plugin {
  readonly pid?: number | undefined;
  kill(signal?: "SIGTERM" | "SIGKILL"): boolean;
  once(event: "exit", listener: (code: number | null, signal: string | null) => void): unknown;
  once(event: "error", listener: (error: Error) => void): unknown;
}

/**
 * Starts a command that may do only what the policy allows: krepis run --policy. It wants the rights that krepis run
 * wants, and the policy has to allow it the library and, if it is asked for, $KREPIS_LIBRARY.
 *
 * The channel is its standard input, Channel.open(0): of other descriptors krepis run lets none through.
 */
export function spawnPlugin(policyPath: string, command: string[], plugin: PluginOptions): Plugin {
  const { channel, krepis = "krepis", options = [] } = plugin;
  return spawn(krepis, ["run", `--policy=${policyPath}`, ...options, "--", ...command], {
    stdio: [channel.fd, "inherit", "inherit"],
  });
}
