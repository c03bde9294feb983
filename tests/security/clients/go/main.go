// Command reads queries the endpoint as a Go program or Grafana's plugin does, with the driver's defaults over HTTP, and
// prints a line for each thing.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func main() {
	if err := read(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func read(dsn string) error {
	options, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		return err
	}
	connection, err := clickhouse.Open(options)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := connection.Ping(ctx); err != nil {
		return err
	}
	var app string
	var calls uint64
	var last time.Time
	var ids []string
	row := connection.QueryRow(ctx, "SELECT app, count(), max(time), groupArray(2)(event_id) FROM events WHERE app = ? GROUP BY app", "advisor")
	if err := row.Scan(&app, &calls, &last, &ids); err != nil {
		return err
	}
	fmt.Println("row", app, calls, !last.IsZero(), len(ids))

	database, err := sql.Open("clickhouse", dsn)
	if err != nil {
		return err
	}
	for _, query := range []string{"SELECT * FROM events", "SELECT number, toString(number) FROM numbers(300000)", "SHOW TABLES LIKE 'events'"} {
		count, err := rows(database, query)
		if err != nil {
			return err
		}
		fmt.Println("rows", count)
	}
	var refused *clickhouse.Exception
	_, err = rows(database, "SELECT * FROM “file”('/etc/hostname', 'LineAsString')")
	fmt.Println("refused", errors.As(err, &refused) && refused.Code == 497)
	return nil
}

func rows(database *sql.DB, query string) (int, error) {
	found, err := database.Query(query)
	if err != nil {
		return 0, err
	}
	defer found.Close()
	count := 0
	for found.Next() {
		count++
	}
	return count, found.Err()
}
