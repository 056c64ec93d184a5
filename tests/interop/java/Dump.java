import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.DumpLogSegments;

/**
 * Kafka's DumpLogSegments many times in one virtual machine: starting one costs more than most dumps.
 *
 * Each line of standard input is a file name, a tab, and the arguments separated by spaces. What the tool prints on its
 * standard output goes to the file, what it prints on standard error to the file's name with `.stderr` (when there is
 * any; the working directory in it is written `@`), its exit code (1 for an exception, as `java` itself would answer)
 * to our standard output.
 */
public class Dump {
    private static final class Exited extends RuntimeException {
        final int code;

        Exited(int code) {
            super(null, null, false, false);
            this.code = code;
        }
    }

    public static void main(String[] args) throws Exception {
        Exit.setExitProcedure((code, message) -> {
            throw new Exited(code);
        });
        PrintStream out = System.out;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] request = line.split("\t", 2);
            int code = dump(request[1].split(" "), Path.of(request[0]));
            out.println(code);
            out.flush();
        }
    }

    private static int dump(String[] arguments, Path target) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        PrintStream outBefore = System.out;
        PrintStream errBefore = System.err;
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        int code = 0;
        try {
            DumpLogSegments.main(arguments);
        } catch (Exited exited) {
            code = exited.code;
        } catch (Throwable failure) {
            System.err.println("Exception: " + failure);
            code = 1;
        } finally {
            System.out.flush();
            System.err.flush();
            System.setOut(outBefore);
            System.setErr(errBefore);
        }
        Files.write(target, out.toByteArray());
        if (err.size() > 0) {
            String text = err.toString(StandardCharsets.UTF_8).replace(System.getProperty("user.dir"), "@");
            Files.writeString(Path.of(target + ".stderr"), text);
        }
        return code;
    }
}
