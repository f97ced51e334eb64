package djangoathm

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Read reads all files of a dump together, because refunds refer to payments in
// another file. It returns an error, and no rows, if any file is not a dump or is
// truncated.
func Read(settings Settings, files ...File) (Dump, error) {
	r := reader{settings: settings, rows: make(map[Table][]*row)}
	r.dump.Rows, r.dump.Repeated = make(map[Table]int), make(map[Table]int)
	for _, file := range files {
		if err := r.file(file); err != nil {
			return Dump{}, fmt.Errorf("%s: %w", file.Name, err)
		}
	}
	if len(files) == r.empty {
		return Dump{}, errNoDump
	}
	r.assemble()
	return r.dump, nil
}

// reader collects the rows of every file.
type reader struct {
	settings Settings
	rows     map[Table][]*row
	empty    int // number of empty files
	dump     Dump
}

// errNoDump means that a file is neither JSON nor CSV of django-athm.
var errNoDump = errors.New("not a dump of django-athm: write JSON with manage.py dumpdata django_athm, or CSV with a header")

// file reads one file. Its first character tells JSON from CSV. An empty file is
// an empty table, for which SQLite writes no header.
func (r *reader) file(file File) error {
	content := bufio.NewReader(file.Content)
	if mark, err := content.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = content.Discard(3) // cannot fail after the Peek
	}
	for {
		first, err := content.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			r.empty++
			return nil
		case err != nil:
			return err
		case strings.IndexByte(" \t\r\n", first) >= 0:
			continue
		}
		if err := content.UnreadByte(); err != nil {
			return err
		}
		if first == '[' {
			return r.json(file.Name, content)
		}
		return r.csv(file.Name, content)
	}
}

// json reads the list of objects that dumpdata writes.
func (r *reader) json(name string, content io.Reader) error {
	decoder := json.NewDecoder(content)
	if _, err := decoder.Token(); err != nil {
		return errNoDump
	}
	position := 0
	for decoder.More() {
		var object json.RawMessage
		if decoder.Decode(&object) != nil {
			return fmt.Errorf("the JSON is truncated after row %d: dump again", position)
		}
		position++
		r.object(name, position, object)
	}
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("the JSON is truncated after row %d: dump again", position)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more data after the JSON list: put each dump in a file of its own")
	}
	return nil
}

// object reads one row of a JSON dump.
func (r *reader) object(name string, position int, raw json.RawMessage) {
	at := Remark{File: name, Row: position}
	var o struct {
		Model  string                     `json:"model"`
		PK     json.RawMessage            `json:"pk"`
		Fields map[string]json.RawMessage `json:"fields"`
	}
	if json.Unmarshal(raw, &o) != nil || o.Model == "" {
		at.Reason = "it is not an object with model, pk and fields"
		r.dump.Unreadable = append(r.dump.Unreadable, at)
		return
	}
	table, ours := tableOf(o.Model)
	if !ours {
		r.dump.Others++
		return
	}
	read := &row{at: at, values: make(map[string]string), naive: r.settings.Zone}
	for field, value := range o.Fields {
		text, ok := textOf(value)
		if !ok {
			read.problem("%s is neither text nor a number", plainName(field))
		}
		read.values[field] = text
	}
	key, ok := textOf(o.PK)
	if !ok {
		read.problem("the pk is neither text nor a number")
	}
	read.values[keyOf(table)] = key
	slices.Sort(read.problems)
	r.add(table, read)
}

// tableOf returns the table of a Django model label.
func tableOf(label string) (Table, bool) {
	model, ok := strings.CutPrefix(strings.ToLower(label), "django_athm.")
	return Table(model), ok && slices.Contains(Tables(), Table(model))
}

// keyOf returns the primary key column of a table.
func keyOf(table Table) string {
	if table == Payments {
		return "ecommerce_id"
	}
	return "id"
}

// plainName returns a field name that is safe to quote in a remark.
func plainName(name string) string {
	if name == "" || len(name) > 30 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return "a field"
	}
	return name
}

// csv reads one table. It drops the suffix _id of foreign keys, which columns have
// and JSON fields do not.
func (r *reader) csv(name string, content io.Reader) error {
	rows := csv.NewReader(content)
	header, err := rows.Read()
	if err != nil {
		return errNoDump
	}
	for i, column := range header {
		header[i] = strings.ToLower(strings.TrimSpace(column))
	}
	table, missing := tableWith(header)
	switch {
	case table == "":
		return errors.New("the header matches no table of django-athm: use COPY … CSV HEADER, or .headers on in SQLite")
	case len(missing) > 0:
		return fmt.Errorf("missing columns: %s", strings.Join(missing, ", "))
	}
	for {
		values, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var broken *csv.ParseError
		switch {
		case errors.As(err, &broken):
			r.broken(table, Remark{File: name, Row: broken.StartLine, Table: table, Reason: csvProblem(broken)})
			continue
		case err != nil:
			return err
		case table == events:
			r.dump.Others++
			continue
		}
		line, _ := rows.FieldPos(0)
		read := &row{at: Remark{File: name, Row: line}, values: make(map[string]string, len(values)), naive: time.UTC}
		for i, value := range values {
			column := header[i]
			if column == "payment_id" || column == "client_id" {
				column = strings.TrimSuffix(column, "_id")
			}
			if !utf8.ValidString(value) {
				read.problem("%s is not UTF-8", plainName(column))
			}
			read.values[column] = value
		}
		r.add(table, read)
	}
}

// events is the table of webhook events, which is recognized and skipped.
const events Table = "webhookevent"

// tableWith identifies a table by its columns and returns the required columns
// that are missing. An unknown table is "".
func tableWith(header []string) (table Table, missing []string) {
	has := func(column string) bool { return slices.Contains(header, column) }
	var needs []string
	switch {
	case has("idempotency_key"):
		return events, nil
	case has("ecommerce_id"):
		table, needs = Payments, []string{"reference_number", "status", "created_at", "updated_at", "transaction_date", "total"}
	case has("payment_id"):
		table, needs = Refunds, []string{"id", "amount", "status", "transaction_date", "created_at"}
	case has("phone_number"):
		table, needs = Clients, []string{"name", "email", "updated_at"}
	default:
		return "", nil
	}
	return table, slices.DeleteFunc(needs, has)
}

func csvProblem(broken *csv.ParseError) string {
	if errors.Is(broken, csv.ErrFieldCount) {
		return "it does not have as many values as the header"
	}
	return "it is not valid CSV: unbalanced quotes"
}

// broken records a row that could not even be split into columns.
func (r *reader) broken(table Table, remark Remark) {
	r.dump.Rows[table]++
	r.dump.Unreadable = append(r.dump.Unreadable, remark)
}

func (r *reader) add(table Table, read *row) {
	read.at.Table = table
	read.at.Key, _ = parseUUID(read.values[keyOf(table)])
	r.dump.Rows[table]++
	r.rows[table] = append(r.rows[table], read)
}

// unreadable records a row that cannot be imported.
func (r *reader) unreadable(read *row) {
	r.dump.Unreadable = append(r.dump.Unreadable, read.remark())
}
