#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Pages as a person and a browser meet them.

setup_file() {
	export hakperf=$(realpath "${BUILD:-build}/bin/hakperf")
	export pages=$BATS_FILE_TMPDIR/pages evil=$BATS_FILE_TMPDIR/evil
	local make_record
	make_record=$(realpath "${BUILD:-build}/test/make-record")
	"$make_record" "$BATS_FILE_TMPDIR/fair.db" --cases 9
	"$make_record" "$BATS_FILE_TMPDIR/evil.db" --cases 2 --rounds 8 --hostile
	cd "$BATS_FILE_TMPDIR"
	"$hakperf" report --db fair.db --out "$pages" >fair.path
	"$hakperf" report --db evil.db --out "$evil" >evil.path
}

setup() {
	cd "$BATS_FILE_TMPDIR"
}

# browse "FILE WIDTH …" [OPTION …]: each page in a frame as wide as a window of that width; tells what it overflows by and how it looks,
# one object a page. The pages refuse scripts: the probe stands in a page around them.
browse() {
	local what=$1 frames='' file width
	shift
	set -- "$@"
	while read -r file width; do
		frames+="<iframe src='file://$file' style='width:${width}px'></iframe>"
	done < <(xargs -n 2 <<<"$what")
	local probe=$BATS_TEST_TMPDIR/probe.html
	cat >"$probe" <<-PROBE
		<!DOCTYPE html><meta charset=utf-8><style>body{margin:0}iframe{border:0;height:900px}</style>$frames<pre id=out></pre>
		<script>
		function look(frame) {
			const d = frame.contentDocument, e = d.documentElement, w = d.defaultView;
			const wide = [...d.querySelectorAll('body *')].filter(x => !x.closest('.scroll, pre, svg, .skip') &&
				x.getBoundingClientRect().right > e.clientWidth + 1).map(x => x.tagName + '.' + x.className);
			const seen = [...d.querySelectorAll('svg.picture')].filter(s => s.getBoundingClientRect().width > 0);
			return { overflow: e.scrollWidth - e.clientWidth, wide, pictures: seen.length,
				narrow: seen.filter(s => s.closest('.narrow')).length,
				hovers: d.querySelectorAll('.wide svg title').length, hit: hit(d),
				scripts: d.scripts.length, images: d.images.length, links: d.querySelectorAll('a[href^="javascript"], a[href^="http"]').length,
				handlers: [...d.querySelectorAll('*')].filter(x => [...x.attributes].some(a => a.name.startsWith('on'))).length,
				words: [...new Set(seen.flatMap(s => [...s.querySelectorAll('text')].map(t => w.getComputedStyle(t).fill)))],
				...access(d, w), paper: w.getComputedStyle(d.body).backgroundColor, ink: w.getComputedStyle(d.body).color };
		}
		// Is what a pointer finds at the place of a point the one that has its words?
		function hit(d) {
			const tries = [...d.querySelectorAll('.wide svg title')].slice(0, 5).map(t => t.parentElement).filter(e => e.getClientRects().length);
			return tries.filter(e => {
				e.scrollIntoView({ block: 'center' });
				const r = e.getBoundingClientRect(), found = d.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
				return found && (e.contains(found) || found.contains(e) && found.querySelector(':scope > title'));
			}).length + ' of ' + tries.length;
		}
		// What a keyboard, a screen reader and weak eyes need: one h1 and no level left out, names for pictures and regions, heads of columns
		// and rows, tables that scroll by key, and words that stand out (WCAG's contrast of what they are drawn on).
		function access(d, w) {
			const all = q => [...d.querySelectorAll(q)], levels = all('h1, h2, h3, h4').map(h => +h.tagName[1]);
			const rgb = c => c.match(/[0-9.]+/g).map(Number);
			const light = c => c.slice(0, 3).map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
				.reduce((s, x, i) => s + x * [0.2126, 0.7152, 0.0722][i], 0);
			const behind = e => {
				const c = e ? rgb(w.getComputedStyle(e).backgroundColor) : [255, 255, 255], a = c.length > 3 ? c[3] : 1;
				if (a === 1) return c;
				const below = behind(e && e.parentElement);
				return [0, 1, 2].map(i => a * c[i] + (1 - a) * below[i]);
			};
			const weak = [...d.querySelectorAll('body *')].filter(e => !e.closest('svg, .skip') && e.getClientRects().length &&
				[...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
				const a = light(rgb(w.getComputedStyle(e).color)), b = light(behind(e));
				return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 30)];
			}).filter(x => x[0] < 4.5);
			return { weak, lang: d.documentElement.lang, h1: all('h1').length, jumps: levels.filter((l, i) => i && l > levels[i - 1] + 1).length,
				unnamed: all('svg:not([aria-label]), .scroll:not([tabindex="0"][role=region][aria-label])').length,
				headless: all('table').filter(t => !t.querySelector('thead th[scope=col]') || !t.querySelector('tbody th[scope=row]')).length,
				first: d.querySelector('a').getAttribute('href'), anchor: !!d.querySelector('main#main') };
		}
		addEventListener('load', () => { document.getElementById('out').textContent = JSON.stringify([...document.querySelectorAll('iframe')].map(look)); });
		</script>
	PROBE
	chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update \
		--disable-sync --disable-dev-shm-usage --allow-file-access-from-files --enable-logging=stderr --log-level=0 \
		--user-data-dir="$BATS_TEST_TMPDIR/profile" --window-size=1500,1000 "$@" --dump-dom "file://$probe" \
		2>"$BATS_TEST_TMPDIR/console" | sed -n 's/.*<pre id="out">\(.*\)<\/pre>.*/\1/p' | sed 's/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g' >"$BATS_TEST_TMPDIR/seen"
	[ -s "$BATS_TEST_TMPDIR/seen" ] || { cat "$BATS_TEST_TMPDIR/console"; return 1; }
}

# seen EXPRESSION: what python makes of it, with the pages as d.
seen() {
	python3 -c 'import json,sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$BATS_TEST_TMPDIR/seen" "$1"
}

# "light" or "dark": the luminance of a colour of all pages.
shade() {
	seen "' '.join(sorted({'light' if (lambda c: 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2])([int(x) for x in p['$1'][p['$1'].index('(')+1:-1].split(',')[:3]]) > 127 else 'dark' for p in d}))"
}

accessible() {
	[ "$(seen "[p['weak'] for p in d if p['weak']]")" = "[]" ] || { seen "[p['weak'] for p in d]"; return 1; }
	[ "$(seen "{(p['lang'], p['h1'], p['jumps'], p['unnamed'], p['headless'], p['first'], p['anchor']) for p in d}")" = "{('en', 1, 0, 0, 0, '#main', True)}" ] || { seen "[{k: p[k] for k in ('lang', 'h1', 'jumps', 'unnamed', 'headless', 'first', 'anchor')} for p in d]"; return 1; }
}

quiet_console() {
	! grep -E 'CONSOLE' "$BATS_TEST_TMPDIR/console"
}

@test "report prints the absolute path of index.html, and writes each page as HTML and as Markdown" {
	[ "$(cat fair.path)" = "$(realpath "$pages")/index.html" ]
	for page in index phases bisect-1 bisect-2 compare history claims machine; do
		[ -s "$pages/$page.html" ]
		[ -s "$pages/$page.md" ]
	done
}

@test "the first page answers: the step in instructions, the step in time, verdicts, noise, machine" {
	for words in 'Push every free block through Box TLS-SLL' 'Remove the registry look-up from the fast path' 'How sure:' '+34.8 %' '+61.5 %' \
		'✗ regression' 'beyond noise' 'Not counted:' 'Synthetic 1' 'To repeat it'; do
		grep -qF -- "$words" "$pages/index.md" || { echo "no '$words'"; return 1; }
	done
}

@test "every link of every page leads to a page that is there" {
	cd "$pages"
	for page in *.html; do
		for target in $(grep -o 'href="[^"#]*\.html"' "$page" | sed 's/href="//; s/"//' | sort -u); do
			[ -f "$target" ] || { echo "$page: $target"; return 1; }
		done
	done
}

@test "pages need nothing else: no scripts, no network, no files" {
	! grep -lE '<script|https?://|url\(|@import|<img|<iframe|<object' "$pages"/*.html
}

@test "in a browser: no overflow at 360 and 1400 pixels, a picture for each width, hovers, words that stand out, a quiet console" {
	local what='' page
	for page in index phases bisect-2 history; do what+=" $pages/$page.html 1400"; done
	for page in index phases bisect-1 compare claims machine; do what+=" $pages/$page.html 360"; done
	what+=" $evil/index.html 360 $evil/bisect-1.html 1400 $evil/claims.html 360"
	browse "$what"
	quiet_console
	[ "$(seen "[i for i, p in enumerate(d) if p['overflow'] or p['wide']]")" = "[]" ] || { seen d; return 1; }
	[ "$(seen "[p['narrow'] for p in d[:4]], all(p['pictures'] > 0 and p['hovers'] > 3 for p in d[:4])")" = "([0, 0, 0, 0], True)" ] || { seen d; return 1; }
	[ "$(seen "[p['hit'] for p in d[:4]]")" = "['5 of 5', '5 of 5', '5 of 5', '5 of 5']" ] || { seen "[p['hit'] for p in d]"; return 1; }
	[ "$(seen "all(p['narrow'] == p['pictures'] > 0 for p in d[4:7])")" = True ] || { seen d; return 1; }
	[ "$(shade paper) $(shade ink)" = "light dark" ]
	accessible
	# Hostile words made nothing.
	[ "$(seen "[(p['scripts'], p['images'], p['links'], p['handlers']) for p in d] == [(0, 0, 0, 0)] * len(d)")" = True ] || { seen d; return 1; }
}

@test "in a browser that prefers dark pages" {
	browse "$pages/index.html 1400 $pages/bisect-2.html 360 $pages/claims.html 1400" --force-dark-mode --blink-settings=preferredColorScheme=0
	quiet_console
	[ "$(shade paper) $(shade ink)" = "dark light" ] || { seen d; return 1; }
	accessible
	# The words in pictures too: ink and a softer ink.
	[ "$(seen "all(min(int(x) for x in c[4:-1].split(',')) > 127 for p in d for c in p['words'])")" = True ] || { seen d; return 1; }
}

@test "hostile subjects, phases and outputs stay words, and the markup is whole" {
	python3 - "$evil"/*.html "$pages"/*.html <<-'CHECK'
		import sys
		from html.parser import HTMLParser
		VOID = {'meta', 'link', 'br'}
		class Whole(HTMLParser):
		    """Every element is closed in its place, and none is one that a page of ours does not have."""
		    KNOWN = set('html head title style meta link body a nav ul li header h1 h2 h3 h4 p main footer section div figure figcaption table thead tbody tr th'
		                ' td details summary code pre q strong small span br svg g defs path rect circle use text polygon polyline'.split())
		    def handle_starttag(self, tag, attrs):
		        assert tag in self.KNOWN, tag
		        assert not any(name.startswith('on') for name, _ in attrs), attrs
		        if tag not in VOID:
		            self.open.append(tag)
		    def handle_startendtag(self, tag, attrs):
		        assert tag in self.KNOWN, tag
		    def handle_endtag(self, tag):
		        assert self.open and self.open.pop() == tag, (tag, self.getpos())
		for name in sys.argv[1:]:
		    p = Whole()
		    p.open = []
		    p.feed(open(name, encoding='utf-8').read())
		    p.close()
		    assert not p.open, (name, p.open)
	CHECK
	[ ! -e /tmp/hakperf-hostile ]
	! grep -F '<script' "$evil"/*.html
}

@test "a page as Markdown for a pull request, and as JSON for a program" {
	"$hakperf" report phases --format md --db fair.db | grep -q '^# Phases'
	"$hakperf" report phases E1 --format md --db fair.db | grep -q 'The base is E1'
	for page in index phases bisect compare history claims machine; do
		"$hakperf" report $page --json --db fair.db >out.json
		python3 - "$page" <<-'CHECK'
			import json, sys
			d = json.load(open('out.json'))
			assert d['verb'] == 'report' and d['result']['content'], d
			def figures(x):
			    if isinstance(x, dict):
			        if {'value', 'unit', 'source', 'rounds', 'verdict'} <= x.keys():
			            yield x
			        for v in x.values():
			            yield from figures(v)
			    elif isinstance(x, list):
			        for v in x:
			            yield from figures(v)
			n = list(figures(d['result']))
			assert sys.argv[1] == 'machine' or n, 'no figures'
			assert all(f['unit'] for f in n)
		CHECK
	done
}

@test "--fail-on regression, and wrong use" {
	run "$hakperf" report compare 7..E3-1 --format md --fail-on regression --db fair.db
	[ "$status" -eq 1 ]
	run "$hakperf" report compare E3-1..E3-2 --format md --fail-on regression --db fair.db
	[ "$status" -eq 0 ]
	run "$hakperf" report --fail-on regression --db fair.db --out "$BATS_TEST_TMPDIR/all"
	[ "$status" -eq 1 ]
	[ "$output" = "$BATS_TEST_TMPDIR/all/index.html" ]
	run "$hakperf" report machine --format html --db fair.db --out "$BATS_TEST_TMPDIR/one"
	[ "$status $output $(ls "$BATS_TEST_TMPDIR/one" | xargs)" = "0 $BATS_TEST_TMPDIR/one/machine.html machine.html machine.md" ]
	run "$hakperf" report nonsense --format md --db fair.db
	[ "$status" -ne 0 ]
	[[ $output == *"there is no page 'nonsense'"* ]]
	run "$hakperf" report phases nowhere --format md --db fair.db
	[ "$status" -eq 3 ]
	[[ $output == *"measured no 'nowhere'"* ]]
	run "$hakperf" report --format pdf --db fair.db
	[ "$status" -eq 2 ]
	run "$hakperf" report --db there-is-none.db
	[ "$status" -eq 3 ]
	[ "${#lines[@]}" -eq 1 ]
}

@test "without gnuplot the pages say so in the picture's place" {
	[ "$(id -u)" = 0 ] || skip "needs root to hide gnuplot"
	command -v unshare >/dev/null || skip "unshare is not installed"
	run unshare -m sh -c 'mount --bind /dev/null "$(readlink -f "$(command -v gnuplot)")" && "$@"' sh "$hakperf" report --db fair.db --out "$BATS_TEST_TMPDIR/plain"
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
	grep -q 'No picture: gnuplot' "$BATS_TEST_TMPDIR/plain/index.html"
}
