/** A router that forwards nothing: it serves router.sock, and tells what it was asked. */
import { join } from 'node:path';
import { routerCode } from '../../src/emperor/router-code.ts';
import { type Handlers, serveControl } from '../../src/router/control.ts';
import { ROUTER_PROTOCOL, type RouterCall } from '../../src/router/protocol.ts';

export interface FakeRouter {
  /** `attach blog`, `end`, in the order in which it was asked. */
  readonly asked: readonly string[];
  /** Breaks off, as a router that is killed. */
  close(): void;
}

/** Fits an emperor whose device is `emperor0`; it ends when it is told to. `hold`: what an answer waits for. */
export async function fakeRouter(
  runDirectory: string,
  hold: (asked: string) => Promise<void> = async () => {},
): Promise<FakeRouter> {
  const asked: string[] = [];
  const answers: Partial<Record<RouterCall, unknown>> = {
    hello: {
      protocol: ROUTER_PROTOCOL,
      pid: 1,
      device: 'emperor0',
      isNewDevice: false,
      code: routerCode(join(import.meta.dirname, '../../dist')),
      ledgerFault: null,
    },
    peers: [],
  };
  const handlerOf = (call: RouterCall) => async (ask: { readonly name?: string } | null) => {
    const text = [call, ask?.name].filter((word) => word !== undefined).join(' ');
    asked.push(text);
    await hold(text);
    if (call === 'end') setImmediate(() => control.close());
    return answers[call] ?? null;
  };
  // Every call has a handler.
  const handlers = new Proxy({} as Handlers, {
    get: (_, call) => handlerOf(call as RouterCall),
  });
  const control = await serveControl(join(runDirectory, 'router.sock'), handlers);
  return { asked, close: () => control.close() };
}
