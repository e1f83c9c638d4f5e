/**
 * What ansible-core loads as its callback plugin: it tells what happens on each host as it happens, one JSON object a line, to the descriptor that SKEIN_EVENTS names
 * (guard/ansible-events.ts reads them), and prints nothing. For Python 3.6 and ansible-core 2.11 on.
 *
 * At the end it tells which hosts a play was broken off for: ansible marks them as failed for itself (in its .retry file) and says nothing of it in the recap.
 * Of a host that a play was for it tells a recap in any case, of zeros where nothing was to do there: a host without one is a host of no play.
 *
 * Beside that it does two things that only a callback in ansible's own process can do. Of each host it counts the time that its own tasks have taken, and gives every
 * task what is left of the limit, so that a host that hangs ends by itself and its neighbours go on. And it puts a word into the environment of whatever runs on
 * a host, by which what is left there can be found and killed.
 */
export const ansiblePlugin = String.raw`
DOCUMENTATION = '''
name: skein_events
type: stdout
short_description: tells Skein what happens on each host
description:
  - One JSON object a line, to the descriptor that SKEIN_EVENTS names.
'''

import json
import os
import select
import threading
import time

from ansible import __version__
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar


# Of what ansible's own setup finds: what is kept of a target, by the node that reads this (lib/facts.ts).
FACTS = ('nodename', 'kernel', 'architecture', 'distribution', 'distribution_version', 'distribution_major_version',
         'distribution_release', 'processor_nproc', 'processor_vcpus', 'memtotal_mb')


def whole(name, default):
    try:
        return int(os.environ.get(name, ''))
    except ValueError:
        return default


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'stdout'
    CALLBACK_NAME = 'skein_events'

    def __init__(self, *args, **kwargs):
        super(CallbackModule, self).__init__(*args, **kwargs)
        self._fd = whole('SKEIN_EVENTS', 3)
        self._most = whole('SKEIN_TEXT_MOST', 1 << 20)
        self._limit = whole('SKEIN_LIMIT_MS', 0) / 1000.0
        self._is_alone = os.environ.get('SKEIN_AD_HOC') == '1'
        self._lock = threading.Lock()
        self._since = {}
        self._used = {}
        self._own_timeouts = {}
        self._plays = []
        self._began = []
        self._batch = set()
        self._in_batches = set()
        self._of_plays = set()
        self._cut_off = set()
        self._tell('hello')
        # Before this file is there nothing was run: skein may begin again without this plugin.
        open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'begun'), 'w').close()

    def _tell(self, event, **fields):
        fields['event'] = event
        line = json.dumps(fields, default=str).encode('ascii') + b'\n'
        with self._lock:
            while line:
                try:
                    line = line[os.write(self._fd, line):]
                except BlockingIOError:
                    select.select([], [self._fd], [])

    def _cut(self, value):
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        if len(text) <= self._most:
            return text
        return text[:self._most] + '\n[%d characters more]\n' % (len(text) - self._most)

    def _said(self, result, isFull):
        said = {}
        if isinstance(result.get('rc'), int):
            said['rc'] = result['rc']
        for key, other in (('stdout', 'module_stdout'), ('stderr', 'module_stderr')):
            text = result.get(key) or result.get(other)
            if text:
                said[key] = self._cut(text)
        for key in ('msg', 'censored', 'reason', 'skip_reason'):
            if result.get(key):
                said['msg'] = self._cut(result[key])
                break
        if isFull and 'rc' not in said and 'results' not in result:
            shown = dict((key, value) for key, value in result.items()
                         if key not in ('diff', 'invocation') and not key.startswith('_ansible'))
            said['dump'] = self._cut(json.dumps(shown, default=str, indent=2, sort_keys=True))
        if result.get('diff') and result.get('changed'):
            said['diff'] = self._cut(self._get_diff(result['diff']))
        return said

    def _result(self, event, result, **more):
        host = result._host.get_name()
        task = result._task
        since = self._since.pop(host, None)
        if since is not None:
            self._used[host] = self._used.get(host, 0) + time.monotonic() - since
        res = result._result
        isFull = self._is_alone or event == 'failed' or task.action in ('debug', 'ansible.builtin.debug')
        said = self._said(res, isFull)
        if self._limit and event == 'failed' and 'failed to execute in the expected time frame' in said.get('msg', ''):
            more['overdue'] = self._used.get(host, 0) >= self._limit - 1
        self._tell(event, host=host, name=task.get_name().strip(), changed=bool(res.get('changed')), **dict(said, **more))

    def _facts(self, result):
        # Of another host, where the task is delegated.
        task = result._task
        if task.action.split('.')[-1] not in ('setup', 'gather_facts') or task.delegate_to:
            return
        found = result._result.get('ansible_facts') or {}
        said = dict((name, found['ansible_' + name]) for name in FACTS
                    if isinstance(found.get('ansible_' + name), (str, int)))
        if said:
            self._tell('facts', host=result._host.get_name(), said=said)

    def _item(self, what, result):
        res = result._result
        label = self._cut(self._get_item_label(res))
        self._tell('item', host=result._host.get_name(), name=result._task.get_name().strip(), what=what, label=label,
                   changed=bool(res.get('changed')), **self._said(res, what == 'failed' or self._is_alone))

    def _may_be_rescued(self, task):
        block = getattr(task, '_parent', None)
        while block is not None:
            if getattr(block, 'rescue', None):
                return True
            block = getattr(block, '_parent', None)
        return False

    def _hosts_of(self, play, is_whole):
        # Of the whole play, or of the batch that ansible restricts its inventory to at the moment.
        try:
            manager = play.get_variable_manager()
            hosts = play.hosts
            if is_whole and '{{' in str(hosts):
                hosts = Templar(loader=play.get_loader(), variables=manager.get_vars(play=play)).template(hosts)
            found = manager._inventory.get_hosts(hosts, ignore_restrictions=is_whole)
            return set(host.get_name() for host in found)
        except Exception:
            return set()

    def _tasks_in(self, play):
        # Without those of rescues and handlers, which may or may not be wanted.
        def count(blocks):
            return sum(count(one.block + one.always) if hasattr(one, 'block') and hasattr(one, 'always')
                       else one.action not in ('meta', 'ansible.builtin.meta') and not one.run_once
                       and one.evaluate_tags(play.only_tags, play.skip_tags, {}) for one in blocks)
        try:
            facts = 0 if play.gather_facts is False else 1
            return facts + count(play.compile())
        except Exception:
            return 0

    def _unfinished(self, failing):
        # Hosts that a play was still for when the playbook was broken off: ansible's recap does not count them.
        left = set(self._cut_off)
        for play in self._plays:
            if play._uuid not in self._began:
                left |= self._hosts_of(play, True)
            elif play._uuid == self._began[-1] and (self._cut_off or self._batch <= failing):
                left |= self._hosts_of(play, True) - self._in_batches
        return left - failing

    def v2_playbook_on_start(self, playbook):
        self._plays = list(playbook.get_plays())
        if os.environ.get('SKEIN_MARKED') == '1':
            for play in self._plays:
                own = play.environment or []
                own = own if isinstance(own, list) else [own]
                play.environment = [{'SKEIN_SSH': "{{ skein_marker | default('') }}"}] + own
        self._tell('open', ansible=__version__)

    def v2_playbook_on_play_start(self, play):
        if play._uuid not in self._began:
            self._began.append(play._uuid)
            self._in_batches = set()
        self._batch = self._hosts_of(play, False)
        self._in_batches |= self._batch
        self._of_plays |= self._batch | self._hosts_of(play, True)
        self._cut_off = set()
        self._tell('play', name=play.get_name().strip())

    def v2_playbook_on_no_hosts_matched(self):
        self._tell('none')

    def v2_playbook_on_no_hosts_remaining(self):
        # Because of any_errors_fatal or max_fail_percentage, if there are any left that did not fail themselves.
        self._cut_off = set(self._batch)

    def v2_runner_on_start(self, host, task):
        name = host.get_name()
        if self._limit:
            own = self._own_timeouts.setdefault(task._uuid, task.timeout)
            left = max(1, int(self._limit - self._used.get(name, 0) + 0.999))
            # The worker of this host alone is forked after this: the next host's is given its own.
            task.timeout = min(own, left) if isinstance(own, int) and own > 0 else left
        self._since[name] = time.monotonic()
        self._tell('start', host=name, name=task.get_name().strip())

    def v2_runner_on_ok(self, result):
        self._facts(result)
        self._result('ok', result)

    def v2_runner_on_skipped(self, result):
        self._result('skipped', result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._result('failed', result, ignored=bool(ignore_errors), rescuable=self._may_be_rescued(result._task))

    def v2_runner_on_unreachable(self, result):
        self._result('unreachable', result)

    def v2_runner_item_on_ok(self, result):
        self._item('ok', result)

    def v2_runner_item_on_failed(self, result):
        self._item('failed', result)

    def v2_runner_item_on_skipped(self, result):
        self._item('skipped', result)

    def v2_runner_retry(self, result):
        res = result._result
        self._tell('retry', host=result._host.get_name(), name=result._task.get_name().strip(),
                   attempt=res.get('attempts', 0), retries=res.get('retries', 0))

    def v2_playbook_on_stats(self, stats):
        # A play may have nothing to do on a host that it is for (run_once, tags): ansible does not count that one, and nothing is wrong with it.
        told = set(stats.processed) if self._is_alone else self._of_plays | set(stats.processed)
        hosts = dict((host, stats.summarize(host)) for host in told)
        for play in self._plays:
            count = self._tasks_in(play)
            for host in self._hosts_of(play, True):
                if host in hosts:
                    hosts[host]['tasks'] = hosts[host].get('tasks', 0) + count
        failing = set(host for host, recap in hosts.items() if recap['failures'] or recap['unreachable'])
        self._tell('stats', hosts=hosts, unfinished=sorted(self._unfinished(failing)))
`.trimStart();
