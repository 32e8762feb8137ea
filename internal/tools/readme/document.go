package main

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// A document is a Markdown file, as far as is needed to check it.
type document struct {
	blocks  []block
	spans   []span
	links   []link
	anchors map[string]bool // of its headings, and those set by HTML
}

// A block is a fenced block of Go source or of shell commands.
type block struct {
	language string // go or sh
	line     int    // of the first line in it
	marker   string // the HTML comment in the line before the fence, without its dashes
	text     string
}

// A span is code within a line.
type span struct {
	line int
	text string
}

// A link leads to another file or to a place in one.
type link struct {
	line   int
	target string
}

var (
	fence    = regexp.MustCompile("^(\\s*)(```+|~~~+)\\s*([^\\s`]*)")
	heading  = regexp.MustCompile(`^ {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$`)
	comment  = regexp.MustCompile(`^\s*<!--\s*(.*?)\s*-->\s*$`)
	code     = regexp.MustCompile("(``+).*?(``+)|`[^`]*`")
	inline   = regexp.MustCompile(`\]\(\s*<?([^)\s>]*)`)
	defined  = regexp.MustCompile(`^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)`)
	ofHTML   = regexp.MustCompile(`(?i)\b(?:href|src)\s*=\s*["']([^"']*)["']`)
	anchorOf = regexp.MustCompile(`(?i)\b(?:id|name)\s*=\s*["']([^"']+)["']`)
	linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// parse reads a document. Links and headings in code are none.
func parse(text string) document {
	doc := document{anchors: make(map[string]bool)}
	marker, number := "", 0
	var inside *block
	indent, end := "", ""
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if end != "" {
			if s := strings.TrimSpace(line); strings.HasPrefix(s, end) && strings.Trim(s, end[:1]) == "" {
				if inside != nil {
					doc.blocks = append(doc.blocks, *inside)
				}
				inside, end = nil, ""
			} else if inside != nil {
				inside.text += strings.TrimPrefix(line, indent) + "\n"
			}
			continue
		}
		if open := fence.FindStringSubmatch(line); open != nil {
			indent, end = open[1], open[2]
			if language := open[3]; language == "go" || language == "sh" {
				inside = &block{language: language, line: number + 1, marker: marker}
			}
			marker = ""
			continue
		}
		marker = ""
		if note := comment.FindStringSubmatch(line); note != nil {
			marker = note[1]
			continue
		}
		doc.prose(number, line)
	}
	return doc
}

// prose takes links and anchors from a line that is not in a block.
func (doc *document) prose(number int, line string) {
	if h := heading.FindStringSubmatch(line); h != nil {
		doc.addAnchor(slug(h[1]))
	}
	for _, s := range code.FindAllString(line, -1) {
		doc.spans = append(doc.spans, span{number, strings.Trim(s, "`")})
	}
	bare := code.ReplaceAllString(line, "")
	for _, a := range anchorOf.FindAllStringSubmatch(bare, -1) {
		doc.anchors[a[1]] = true
	}
	for _, form := range []*regexp.Regexp{inline, defined, ofHTML} {
		for _, target := range form.FindAllStringSubmatch(bare, -1) {
			doc.links = append(doc.links, link{number, target[1]})
		}
	}
}

// addAnchor numbers headings of the same text from the second on.
func (doc *document) addAnchor(name string) {
	unique := name
	for i := 1; doc.anchors[unique]; i++ {
		unique = name + "-" + strconv.Itoa(i)
	}
	doc.anchors[unique] = true
}

// slug makes the anchor of a heading as GitHub does: in lower case, with hyphens for
// spaces, and of everything else only letters, digits, hyphens and underscores.
func slug(heading string) string {
	heading = linkText.ReplaceAllString(heading, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}
