/** The thread that serves uWSGI's vassals. */
import { parentPort, workerData } from 'node:worker_threads';
import { UwsgiLoop, type UwsgiLoopSetting } from './uwsgi-loop.ts';

/** What the thread is started with. */
export type UwsgiWorkerData = Omit<UwsgiLoopSetting, 'port'>;

if (!parentPort) throw new Error('uwsgi-worker.ts is no program');
// At the boundary: loop-thread.ts is the only one who starts this file.
new UwsgiLoop({ ...(workerData as UwsgiWorkerData), port: parentPort }).run();
