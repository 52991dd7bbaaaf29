/** Prints docs/options.md: `node dist/config/render/print-docs.js > docs/options.md`. */
import { optionsPage } from './options-page.ts';

process.stdout.write(optionsPage());
