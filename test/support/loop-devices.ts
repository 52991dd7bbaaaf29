/** Loop devices and what stands behind them. */
import { readdirSync } from 'node:fs';
import { readIfThere } from './remains.ts';

/** Names of the loop devices that stand before `image`. */
export function loopDevicesOf(image: string): readonly string[] {
  return readdirSync('/sys/block').filter((device) => {
    const file = readIfThere(`/sys/block/${device}/loop/backing_file`).trim();
    // Of a mount that a vassal has let go of the kernel tells the path below its mount point alone.
    return file !== '' && image.endsWith(file.replace(/ \(deleted\)$/, ''));
  });
}
