# Counts the prose of files: comments of Go, C and scripts, text of Markdown and manual pages. See .ci/prose.
#
#   words    in the folder's comments or documents; rates below are per 1,000 of them
#   what     what, who, whose: most stand where a noun should be
#   nouns    pronouns and possessives as nouns: nobody, ours, another's, those of
#   colons   followed by a space or the end of a line
#   e.g.     "for example", "for instance", "e.g."
#   long     sentences of more than 25 words, in per cent
#   wide     lines of more than 110 columns, in documents 100, in per cent; rows of tables cannot be wrapped
#
# The limits are the range of four models (cilium/ebpf, go-fuse, cobra; os, net/http and cmd/go of Go), but
# documents may have no more colons than comments.
#
#              what  nouns  colons  e.g.  long  wide
#   comments   0.8    0.0     6.4    0.9     8   1.5
#   documents  1.1    0.1    40.0    2.2    10   7.0   (the largest of each)

BEGIN {
	limit["what"] = 1.0; limit["nouns"] = 0.1; limit["colons"] = 9.0; limit["wide"] = 1.1
	noun = "(nobody('s)?|somebody('s)?|everybody('s)?|another's|other's|others'|else's|ours|theirs|" \
		"(none|nothing|those|that) of (a|an|the|its|it|them|one|another))"
}

FNR == 1 {
	if (file) flush()
	file = FILENAME
	document = file ~ /\.(md|[1-8])$/
	folder = file
	if (!sub("/[^/]*$", "", folder)) folder = "."
	if (document) folder = folder == "." ? "*.md" : folder "/*"
	state = ""
}

{
	table = file ~ /\.md$/ && /^\|/
	sub(/\r$/, "")
	if (!table) {
		lines[folder]++
		if (columns($0) > (document ? 100 : 110)) wide[folder]++
	}
	if (file ~ /\.md$/) markdown($0)
	else if (file ~ /\.[1-8]$/) manual($0)
	else if (file ~ /\.(go|[ch])$/) code($0)
	else script($0)
}

END {
	flush()
	printf "%-24s %7s %6s %6s %6s %6s %6s %6s\n",
		"", "words", "what", "nouns", "colons", "e.g.", "long%", "wide%"
	for (f in lines) order[++folders] = f
	sort(order, folders)
	for (i = 1; i <= folders; i++) {
		f = order[i]
		kind = f ~ /\*/ ? "all documents" : "all comments"
		add(kind, f)
		show(f)
	}
	fields = split("what nouns colons wide", checked, " ")
	split("all comments,all documents", kinds, ",")
	for (k = 1; k <= 2; k++) if (kinds[k] in lines) {
		show(kinds[k])
		for (i = 1; i <= fields; i++) {
			name = checked[i]
			value = sprintf("%.1f", rate(kinds[k], name)) + 0
			if (value > limit[name])
				outside = outside sprintf("\n%s: %s is %.1f, at most %.1f", kinds[k], name, value, limit[name])
		}
	}
	if (shown) print "\nRead these again:"
	for (i = 1; i <= shown; i++) printf "%s: %s\n", place[i], text[i]
	if (check && outside) {
		print outside
		exit 1
	}
}

function columns(line,    tabs) {
	tabs = gsub(/\t/, "&", line)
	gsub(/[\200-\277]/, "", line) # later bytes of UTF-8, if awk counts bytes
	return length(line) + 7 * tabs
}

# code finds the comments of a line of Go or C. state is "*" or "`" if the line before left a comment or
# string open.
function code(line,    at, c, any, whole) {
	whole = line
	for (;;) {
		if (state == "*") {
			at = index(line, "*/")
			c = at ? substr(line, 1, at - 1) : line
			sub(/^[ \t]*\*( |$)/, "", c)
			comment(c)
			any = 1
			if (!at) return
			line = substr(line, at + 2)
			state = ""
		} else if (state == "`") {
			if (!(at = index(line, "`"))) return
			line = substr(line, at + 1)
			state = ""
		}
		if (!match(line, /["'`]|\/[\/*]/)) break
		c = substr(line, RSTART, 2)
		if (c == "//") {
			c = substr(line, RSTART + 2)
			if (whole ~ /^[ \t]*\/\//) comment(c)
			else {
				flush()
				comment(c)
				flush()
			}
			return
		}
		line = substr(line, RSTART + 1)
		if (c == "/*") {
			line = substr(line, 2)
			state = "*"
		} else if (substr(c, 1, 1) == "`") state = "`"
		else {
			if (!match(line, substr(c, 1, 1) == "\"" ? /^([^"\\]|\\.)*"/ : /^([^'\\]|\\.)*'/)) break
			line = substr(line, RLENGTH + 1)
		}
	}
	if (!any || line ~ /[^ \t]/) flush()
}

# comment takes the text of one line, without the mark of comments.
function comment(c) {
	if (c ~ /^(go:|nolint|lint:|[ \t]*(SPDX|Output:|Copyright))|^[ *]*$/) flush()
	else if (c ~ /^(\t|   )/ && c !~ /^ +([-*]|[0-9]+\.) /) flush() # code
	else prose(c)
}

function script(line) {
	if (match(line, /^[ \t]*#+( |$)/)) comment(substr(line, RLENGTH))
	else flush()
}

function markdown(line) {
	if (line ~ /^[ \t]*```/) {
		flush()
		state = state ? "" : "fence"
	} else if (state || table || line ~ /^(    |\t|#|\[[^]]*\]: |[ \t]*$)/) flush()
	else {
		gsub(/`[^`]*`/, "x", line)
		gsub(/\]\([^)]*\)/, "", line)
		prose(line)
	}
}

function manual(line) {
	if (line ~ /^\.(nf|EX)/) state = "code"
	if (line ~ /^\.(fi|EE)/) state = ""
	gsub(/\\f[A-Z]|\\&/, "", line)
	gsub(/\\-/, "-", line)
	if (!state && sub(/^\.(B|I|BR|BI|IR|RB|RI|IB) /, "", line) || !state && line !~ /^[.']|^[ \t]*$/) prose(line)
	else flush()
}

# prose adds a line to the paragraph; an item of a list begins another.
function prose(line) {
	if (line ~ /^[ \t]*([-*]|[0-9]+\.) /) flush()
	sub(/^[ \t]*(([-*]|[0-9]+\.) +)?/, "", line)
	sub(/[ \t]+$/, "", line)
	start[++pieces] = length(paragraph) + 1
	number[pieces] = FNR
	paragraph = paragraph line " "
}

# flush ends the paragraph and counts its sentences.
function flush(    rest, at, from, s, i) {
	rest = paragraph
	from = 1
	while (match(rest, /[.!?]+[])"'*]* +/)) {
		at = RSTART + RLENGTH - 1
		s = s substr(rest, 1, at)
		rest = substr(rest, at + 1)
		if (s ~ /(e\.g|i\.e|etc|cf|vs)\. +$/ && rest) continue
		count(s, from)
		from += length(s)
		s = ""
	}
	if (s rest) count(s rest, from)
	paragraph = ""
	pieces = 0
}

function count(s, from,    low, n, w, i, what, nouns, colons) {
	n = split(s, w, /[ \t]+/)
	low = 0
	for (i = 1; i <= n; i++) if (w[i] ~ /[A-Za-z0-9]/) low++
	if (!(n = low)) return
	low = tolower(s)
	gsub(/[^a-z':.]+/, "  ", low)
	low = " " low " "
	what = gsub(/ (what|who|whose) /, "&", low)
	nouns = gsub(" " noun "[ .:]", "&", low)
	colons = gsub(/: /, "&", s)
	words[folder] += n
	sentences[folder]++
	rates[folder, "what"] += what
	rates[folder, "nouns"] += nouns
	rates[folder, "colons"] += colons
	rates[folder, "e.g."] += gsub(/ (for +example|for +instance|e\.g\.) /, "&", low)
	if (n > 25) long[folder]++
	remember(2 * what + 2 * nouns + 2 * (colons > 1 ? colons - 1 : 0) + (n > 25 ? (n - 25) / 8 : 0), s, from)
}

# remember keeps the worst sentences, the worst first.
function remember(score, s, from,    i, line) {
	if (score < 1 || (shown == worst && score <= scores[shown])) return
	for (i = 1; i <= pieces && start[i] <= from; i++) line = number[i]
	if (shown < worst) shown++
	for (i = shown; i > 1 && scores[i - 1] < score; i--) {
		scores[i] = scores[i - 1]
		text[i] = text[i - 1]
		place[i] = place[i - 1]
	}
	scores[i] = score
	text[i] = s
	place[i] = file ":" line
}

function add(kind, f,    i) {
	lines[kind] += lines[f]
	wide[kind] += wide[f]
	words[kind] += words[f]
	sentences[kind] += sentences[f]
	long[kind] += long[f]
	split("what nouns colons e.g.", checked, " ")
	for (i in checked) rates[kind, checked[i]] += rates[f, checked[i]]
}

function rate(f, name) {
	if (name == "wide") return lines[f] ? 100 * wide[f] / lines[f] : 0
	if (name == "long") return sentences[f] ? 100 * long[f] / sentences[f] : 0
	return words[f] ? 1000 * rates[f, name] / words[f] : 0
}

function show(f) {
	printf "%-24s %7d %6.1f %6.1f %6.1f %6.1f %6.1f %6.1f\n", f, words[f], rate(f, "what"), rate(f, "nouns"),
		rate(f, "colons"), rate(f, "e.g."), rate(f, "long"), rate(f, "wide")
}

function sort(list, n,    i, j, x) {
	for (i = 2; i <= n; i++) {
		x = list[i]
		for (j = i - 1; j && list[j] > x; j--) list[j + 1] = list[j]
		list[j + 1] = x
	}
}
