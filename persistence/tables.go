// SPDX-License-Identifier: Apache-2.0

package persistence

import "fmt"

// applicationID marks a SQLite file as a Strata store: "Strt" in the header's application id field
// (https://www.sqlite.org/fileformat.html#application_id).
const applicationID = 0x53747274

// schema is every table in the order of its creation, one script for each subject's file.
var schema = []string{
	storeSchema,
	serversSchema,
	keysSchema,
	sightingsSchema,
	roomsSchema,
	outsidersSchema,
	residentsSchema,
	gapsSchema,
	eventsSchema,
	timelineSchema,
	relationsSchema,
	redactionsSchema,
	copiesSchema,
	statesSchema,
	roomStatesSchema,
	stagingSchema,
	partialSchema,
	searchesSchema,
	backfillsSchema,
	unverifiedSchema,
	verdictsSchema,
	alarmsSchema,
	outboxSchema,
	backlogSchema,
	presentsSchema,
	sentSchema,
	bodiesSchema,
	attemptsSchema,
	parkedSchema,
	holdsSchema,
	inboxSchema,
	retentionSchema,
	pullsSchema,
	subscriptionsSchema,
	toDeviceSchema,
	deviceListsSchema,
	annexesSchema,
}

// migrations takes a file from version n to n+1 with migrations[n]. The file's version is in its header's user version field.
// An entry that was ever released does not change again; a change of the schema is a new entry.
var migrations = [][]string{
	schema,
}

// identify reads whose file this is and its version; 0 is a file in which nothing has been created yet.
func identify(c *connection) (version int, err error) {
	var id, objects int64
	for _, field := range []struct {
		query string
		dest  any
	}{
		{"PRAGMA application_id", &id},
		{"PRAGMA user_version", &version},
		{"SELECT count(*) FROM sqlite_schema", &objects},
	} {
		if err := c.get(field.query, field.dest); err != nil {
			return 0, explain(err)
		}
	}
	switch {
	case id == applicationID && version > 0:
		return version, nil
	case id == 0 && version == 0 && objects == 0:
		return 0, nil
	}
	return 0, fmt.Errorf("%w: application id %#x, user version %d, %d tables and indexes", ErrForeignFile, id, version, objects)
}

// migrate brings a file of an older version, or a new one, up to date in one transaction.
func migrate(c *connection, version int, steps [][]string, serverName string) error {
	if version == len(steps) {
		return nil
	}
	if err := c.script("BEGIN IMMEDIATE"); err != nil {
		return explain(err)
	}
	if err := runSteps(c, version, steps, serverName); err != nil {
		_ = c.script("ROLLBACK") // the first error tells more
		return explain(err)
	}
	if err := c.script("COMMIT"); err != nil {
		_ = c.script("ROLLBACK")
		return explain(err)
	}
	return nil
}

func runSteps(c *connection, version int, steps [][]string, serverName string) error {
	for n := version; n < len(steps); n++ {
		for _, sql := range steps[n] {
			if err := c.script(sql); err != nil {
				return fmt.Errorf("migrate to version %d: %w", n+1, err)
			}
		}
	}
	if version == 0 {
		const row = "INSERT INTO store (id, server_name, last_position) VALUES (1, ?, 0)"
		if err := c.script(row, serverName); err != nil {
			return fmt.Errorf("describe the new file: %w", err)
		}
		if err := c.script(fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return err
		}
	}
	return c.script(fmt.Sprintf("PRAGMA user_version = %d", len(steps)))
}
