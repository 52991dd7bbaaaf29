/** The packets' thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { type LedgerPlace, mapLedger } from './ledger.ts';
import { PacketLoop } from './packet-loop.ts';

/** What the thread is started with. */
export interface PacketWorkerData {
  readonly wake: number;
  readonly ledger: LedgerPlace;
}

// At the boundary: loop-thread.ts is the only one who starts this file.
const { wake, ledger } = workerData as PacketWorkerData;
if (!parentPort) throw new Error('packet-worker.ts is no program');
new PacketLoop({ wake, port: parentPort, counters: mapLedger(ledger).counters }).run();
parentPort.close();
