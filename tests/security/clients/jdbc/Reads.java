import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** Reads the endpoint as a JDBC program does, with the driver's defaults; prints a line for each thing. */
class Reads {
  public static void main(String[] arguments) throws SQLException {
    try (Connection connection = DriverManager.getConnection(arguments[0])) {
      try (PreparedStatement query =
              connection.prepareStatement("SELECT app, count() AS calls, max(time) FROM events WHERE app = ? GROUP BY app")) {
        query.setString(1, "advisor");
        try (ResultSet rows = query.executeQuery()) {
          while (rows.next()) {
            System.out.println("row " + rows.getString(1) + " " + rows.getLong("calls") + " " + (rows.getTimestamp(3) != null));
          }
        }
      }
      try (ResultSet tables = connection.getMetaData().getTables(null, "streamgauge", "events", null)) {
        System.out.println("table " + (tables.next() ? tables.getString("TABLE_NAME") : ""));
      }
      try (Statement statement = connection.createStatement()) {
        try (ResultSet rows = statement.executeQuery("SELECT * FROM events ORDER BY event_id")) {
          int count = 0;
          while (rows.next()) count++;
          System.out.println("events " + count + " " + (rows.getMetaData().getColumnCount() > 30));
        }
        try (ResultSet rows = statement.executeQuery("SELECT number, toString(number) FROM numbers(300000)")) {
          long sum = 0;
          while (rows.next()) sum += rows.getLong(1);
          System.out.println("sum " + sum);
        }
        try {
          statement.executeQuery("SELECT * FROM “file”('/etc/hostname', 'LineAsString')");
          System.out.println("refused nothing");
        } catch (SQLException error) {
          System.out.println("refused " + error.getErrorCode());
        }
      }
    }
  }
}
