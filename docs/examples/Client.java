import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.regex.Pattern;

/**
 * Asks adloom for a decision and reports a click. Needs Java 17 and nothing else;
 * use your JSON library in place of {@code field}.
 *
 * <pre>TOKEN=… java Client.java http://localhost:3000</pre>
 */
public final class Client {
    // One client for the whole process keeps connections open.
    private static final HttpClient HTTP = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .build();
    // For one request, the network included. The first request of a process is slower:
    // make it before users wait for it.
    private static final Duration DEADLINE = Duration.ofMillis(
            Long.parseLong(System.getenv().getOrDefault("DEADLINE_MS", "200")));

    private final String url;
    private final String token;

    Client(String url, String token) {
        this.url = url;
        this.token = token;
    }

    /** Sends a request and returns the answer. Throws IOException when there is none. */
    String post(String path, String body) throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(URI.create(url + path))
                .timeout(DEADLINE)
                .header("Content-Type", "application/json")
                .header("Authorization", "Bearer " + token)
                .POST(BodyPublishers.ofString(body))
                .build();
        var response = HTTP.send(request, BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new IOException(path + ": " + response.statusCode() + " " + response.body());
        }
        return response.body();
    }

    /** Returns the first text value of a name in a JSON text. */
    static String field(String name, String json) {
        var matcher = Pattern.compile('"' + name + "\":\"([^\"]*)\"").matcher(json);
        if (!matcher.find()) {
            throw new IllegalArgumentException("no " + name + " in " + json);
        }
        return matcher.group(1);
    }

    public static void main(String[] arguments) throws InterruptedException {
        var token = System.getenv().getOrDefault("TOKEN", "none");
        var client = new Client(arguments[0], token);
        try {
            var answer = client.post("/v1/decide", """
                    {"placement": "top", "user_id": "00001",
                     "candidates": ["creative-1", "creative-2"], "tmax_ms": 100}
                    """);
            var creative = field("creative_id", answer);
            System.out.println("show " + creative);
            client.post("/v1/feedback", """
                    {"decision_id": "%s", "creative_id": "%s", "kind": "click"}
                    """.formatted(field("decision_id", answer), creative));
            System.out.println("clicked " + creative);
        } catch (IOException error) {
            System.err.println("default: " + error.getMessage());
            System.out.println("show house-advertisement");
        }
    }
}
