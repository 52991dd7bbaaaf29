/** The packets' thread: what packet-thread.ts starts. */
import { parentPort, workerData } from 'node:worker_threads';
import { type LedgerPlace, mapLedger } from './ledger.ts';
import { PacketLoop } from './packet-loop.ts';

/** What the thread is started with. */
export interface PacketWorkerData {
  readonly epoll: number;
  readonly wake: number;
  readonly ledger: LedgerPlace;
}

// At the boundary: packet-thread.ts is the only one who starts this file.
const { epoll, wake, ledger } = workerData as PacketWorkerData;
if (!parentPort) throw new Error('packet-worker.ts is no program');
new PacketLoop({ epoll, wake, port: parentPort, counters: mapLedger(ledger).counters }).run();
parentPort.close();
