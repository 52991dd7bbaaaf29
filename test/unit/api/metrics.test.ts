import { expect, test } from 'vitest';
import { renderMetrics } from '../../../src/api/metrics.ts';
import {
  cronJobStatus,
  emperorStats,
  networkStatus,
  ROUTER,
  trafficOfBytes,
  vassalStatus,
} from '../../support/governor.ts';

test('every metric has one HELP and one TYPE before its samples', () => {
  const text = renderMetrics(emperorStats({ counters: { applied: 3 } }), [vassalStatus('blog')], {
    cron: [cronJobStatus('blog')],
  });
  const names = [...text.matchAll(/^# TYPE (\S+) (?:gauge|counter)$/gm)].map(([, name]) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const line of text.trimEnd().split('\n')) {
    expect(line).toMatch(/^# (HELP|TYPE) emperor_\w+ \S|^emperor_\w+(\{\w+="[^"]*"\})? [\d.e-]+$/);
  }
  expect(text).toMatch(/^emperor_events_total\{event="applied"\} 3$/m);
  expect(text).toMatch(/^emperor_event_loop_delay_seconds\{quantile="0.99"\} 0.02$/m);
});

test('a vassal that does not run is down, and its restarts count on', () => {
  const stopped = vassalStatus('shop', { state: 'backoff', restarts: 7 });
  const text = renderMetrics(emperorStats(), [stopped]);
  expect(text).toMatch(/^emperor_vassal_up\{vassal="shop"\} 0$/m);
  expect(text).toMatch(/^emperor_vassal_restarts_total\{vassal="shop"\} 7$/m);
});

test('a budget of the day and merged memory have figures where there are such', () => {
  const dailyCpu = { budgetSeconds: 60, usedSeconds: 61.5, isSpent: true, renewedAt: '' };
  const text = renderMetrics(emperorStats({ ksm: { state: 'on', savedBytes: 8192 } }), [
    vassalStatus('blog', { dailyCpu }),
    vassalStatus('shop'),
  ]);
  const about = text.split('\n').filter((line) => /^emperor_(ksm|vassal_daily)/.test(line));
  expect(about).toEqual([
    'emperor_ksm_saved_bytes 8192',
    'emperor_vassal_daily_cpu_seconds{vassal="blog"} 61.5',
    'emperor_vassal_daily_cpu_spent{vassal="blog"} 1',
  ]);
  expect(renderMetrics(emperorStats(), [])).not.toContain('ksm');
});

test('the network tells of the router, of each rule, and of each vassal what it moved and what was dropped', () => {
  const traffic = trafficOfBytes(2048, 1024, { spoofed: 3 });
  const [blog] = networkStatus().vassals;
  if (!blog) throw new Error('a vassal');
  const text = renderMetrics(emperorStats(), [], {
    network: networkStatus({ vassals: [{ ...blog, traffic }] }),
  });
  const samples = text
    .split('\n')
    .filter((line) => /^emperor_(router|firewall|network|vassal_net)/.test(line));
  expect(samples).toEqual([
    'emperor_router_up 1',
    'emperor_router_info{device="emperor0",mode="gso"} 1',
    'emperor_router_resident_memory_bytes 62914560',
    'emperor_router_cpu_seconds_total 1.5',
    'emperor_firewall_denied_packets_total{chain="in",rule="deny 10.0.0.0/24 10.0.0.0/24",vassal=""} 7',
    'emperor_firewall_denied_packets_total{chain="in",rule="policy",vassal=""} 0',
    'emperor_firewall_denied_packets_total{chain="out",rule="deny 10.0.0.3 1.1.1.1",vassal="blog"} 1',
    'emperor_firewall_denied_packets_total{chain="out",rule="deny",vassal=""} 4',
    'emperor_network_addresses{network="10.0.0.0/24"} 253',
    'emperor_network_addresses_used{network="10.0.0.0/24"} 3',
    'emperor_vassal_network_receive_bytes_total{vassal="blog"} 2048',
    'emperor_vassal_network_receive_packets_total{vassal="blog"} 2',
    'emperor_vassal_network_transmit_bytes_total{vassal="blog"} 1024',
    'emperor_vassal_network_transmit_packets_total{vassal="blog"} 1',
    'emperor_vassal_network_drop_packets_total{vassal="blog",reason="spoofed"} 3',
  ]);
});

test('a router that is being started is down, and what is not known of it is left out', () => {
  const router = { ...ROUTER, pid: null, mode: null, memoryBytes: null, cpuSeconds: null };
  const text = renderMetrics(emperorStats(), [], { network: networkStatus({ router }) });
  expect(text.match(/^emperor_router.*$/gm)).toEqual(['emperor_router_up 0']);
  expect(renderMetrics(emperorStats(), [])).not.toContain('emperor_router');
});

test('jobs are summed up by vassal', () => {
  const failed = cronJobStatus('blog', { running: 2, runs: 3, failures: 3 });
  const text = renderMetrics(emperorStats(), [], { cron: [cronJobStatus('blog'), failed] });
  expect(text.match(/^emperor_cron.*$/gm)).toEqual([
    'emperor_cron_jobs{vassal="blog"} 2',
    'emperor_cron_running{vassal="blog"} 2',
    'emperor_cron_runs{vassal="blog"} 15',
    'emperor_cron_failures{vassal="blog"} 4',
    'emperor_cron_last_duration_seconds{vassal="blog"} 1.5',
  ]);
});

test('labels are escaped', () => {
  const text = renderMetrics(emperorStats({ version: 'a"b\\c\nd' }), []);
  expect(text).toContain('emperor_info{version="a\\"b\\\\c\\nd"} 1');
});

test('a home with a size tells what it holds and can hold, one without says nothing', () => {
  const home = { bytes: 4096, sizeBytes: 8192, inodes: 7, inodesMax: 9, isReadOnly: false };
  const text = renderMetrics(emperorStats(), [
    vassalStatus('blog', { home }),
    vassalStatus('shop'),
  ]);
  expect(text.split('\n').filter((line) => line.startsWith('emperor_vassal_home'))).toEqual([
    'emperor_vassal_home_bytes{vassal="blog"} 4096',
    'emperor_vassal_home_size_bytes{vassal="blog"} 8192',
    'emperor_vassal_home_inodes{vassal="blog"} 7',
    'emperor_vassal_home_inodes_max{vassal="blog"} 9',
  ]);
});
