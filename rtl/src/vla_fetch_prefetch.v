// Read packets ahead of dispatch from the data space, in address order, and check each when it is there.
// Does: keep up to Depth packets fetched or asked for, in bursts that end at a multiple of Burst packets
// (so none crosses 4 KB); on a redirect forget them and go on at another line; while hold_i is high keep those that are
// taken too, so that a replay offers them again. Up to a multiple of Burst packets, Depth behind one at or in front of
// the first one held, all get here.
// Does not: look into packets beyond the generated check. A read error and what the check finds travel with their packet,
// so that one behind the end of a program does no harm.
// Latency: the first read leaves one cycle after redirect_i; a packet is offered one cycle after its last beat, one that
// is there one cycle after replay_i. The check takes as long: what it finds of the packet that came last comes from its
// registers, of others from the buffer.
// Handshake: ready/valid; ar_valid_o stays until ar_ready_i also across a redirect, the answers of reads
// from before a redirect are dropped. r_ready_o is always high: room is kept for everything asked for.
`default_nettype none
`include "vla_isa.vh"
module vla_fetch_prefetch #(
  parameter Depth = 32,  // packets held, a power of two
  parameter Burst = 8,   // packets of a read, a power of two, at most Depth and 64
  parameter ActWords    = 16384,
  parameter WeightWords = 2048,
  parameter ParamWords  = 1024
) (
  input  wire         clk_i,
  input  wire         rst_i,
  input  wire         enable_i,    // start new reads
  input  wire         redirect_i,  // go on at line_i
  input  wire         replay_i,    // go back to line_i, one of the packets held
  input  wire [31:0]  line_i,
  input  wire         hold_i,      // from the packet that is offered when it rises
  input  wire [64*`VLA_DATA_CHANNELS-1:0] data_bases_i,
  // read client
  output wire         ar_valid_o,
  input  wire         ar_ready_i,
  output wire [63:0]  ar_addr_o,
  output wire [7:0]   ar_len_o,
  input  wire         r_valid_i,
  output wire         r_ready_o,
  input  wire [255:0] r_data_i,
  input  wire         r_last_i,
  input  wire         r_error_i,
  // packets
  output wire         packet_valid_o,
  input  wire         packet_ready_i,
  output wire [511:0] packet_o,
  output wire [3:0]   packet_error_o,  // 0, or why it may not be dispatched
  output wire [2:0]   packet_queue_o
);

  localparam IndexW   = $clog2(Depth);
  localparam CountW   = IndexW + 1;  // the low bits of a line: its place, and which of two rounds over the places
  localparam BurstW   = $clog2(Burst);
  localparam FlightW  = $clog2(2 * Depth) + 1;  // before and after a redirect

  // places, by the low bits of their lines
  reg  [CountW-1:0]  low_q;   // the first packet held
  reg  [CountW-1:0]  next_q;  // offered
  reg  [CountW-1:0]  in_q;    // the next to arrive

  // reads
  reg  [31:0]        line_q;    // next line to ask for
  reg                ar_valid_q;
  reg  [63:0]        ar_addr_q;
  reg  [7:0]         ar_len_q;
  reg  [FlightW-1:0] flight_q;  // reads whose last beat has not come
  reg  [FlightW-1:0] drop_q;    // how many of them are from before a redirect

  wire [BurstW:0] burst = Burst[BurstW:0] - {1'b0, line_q[BurstW-1:0]};
  wire [7:0]      beats = {{(7-BurstW){1'b0}}, burst} << 1;
  wire [CountW-1:0] space = Depth[CountW-1:0] - (line_q[CountW-1:0] - low_q);  // packets that may be asked for
  wire room  = space >= {{(CountW-BurstW-1){1'b0}}, burst};
  wire calm  = flight_q < Depth[FlightW-1:0];  // many redirects in a row wait for the memory
  wire issue = enable_i && !redirect_i && room && calm && (!ar_valid_q || ar_ready_i);
  wire take  = packet_valid_o && packet_ready_i;
  wire last  = r_valid_i && r_last_i;

  always @(posedge clk_i) begin
    if (rst_i) begin
      ar_valid_q <= 1'b0;
      flight_q   <= 0;
      drop_q     <= 0;
    end else begin
      if (issue)           ar_valid_q <= 1'b1;
      else if (ar_ready_i) ar_valid_q <= 1'b0;

      flight_q <= flight_q + {{(FlightW-1){1'b0}}, issue} - {{(FlightW-1){1'b0}}, last};
      if (redirect_i)                drop_q <= flight_q - {{(FlightW-1){1'b0}}, last};
      else if (last && drop_q != 0)  drop_q <= drop_q - 1'b1;
    end
  end

  wire [63:0] line_addr;
  vla_data_map u_map (.bases_i(data_bases_i), .line_i(line_q), .addr_o(line_addr));

  always @(posedge clk_i) begin
    if (redirect_i) line_q <= line_i;
    else if (issue) line_q <= line_q + {{(31-BurstW){1'b0}}, burst};
    if (issue) begin
      ar_addr_q <= line_addr;
      ar_len_q  <= beats - 8'd1;
    end
  end

  assign ar_valid_o = ar_valid_q;
  assign ar_addr_o  = ar_addr_q;
  assign ar_len_o   = ar_len_q;
  assign r_ready_o  = 1'b1;

  // two beats make a packet; dropped beats keep the pairing
  reg         high_q;
  reg [256:0] low_beat_q;
  always @(posedge clk_i) begin
    if (rst_i)          high_q <= 1'b0;
    else if (r_valid_i) high_q <= !high_q;
    if (r_valid_i && !high_q) low_beat_q <= {r_error_i, r_data_i};
  end

  // packets, in the place of their line
  reg  [511:0]      store_q [0:Depth-1];
  wire              arrives = r_valid_i && high_q && drop_q == 0;
  wire [511:0]      packet  = {r_data_i, low_beat_q[255:0]};
  wire [CountW-1:0] next_d  = redirect_i || replay_i ? line_i[CountW-1:0] : next_q + {{IndexW{1'b0}}, take};

  always @(posedge clk_i) begin
    if (rst_i) begin
      low_q  <= {CountW{1'b0}};
      next_q <= {CountW{1'b0}};
      in_q   <= {CountW{1'b0}};
    end else begin
      next_q <= next_d;
      if (redirect_i || !hold_i) low_q <= next_d;
      if (redirect_i)   in_q <= line_i[CountW-1:0];
      else if (arrives) in_q <= in_q + 1'b1;
    end
    if (arrives) store_q[in_q[IndexW-1:0]] <= packet;
  end

  assign packet_valid_o = next_q != in_q;
  assign packet_o       = store_q[next_q[IndexW-1:0]];

  // what the check says of them: it has the last one in its registers
  wire [3:0]        broken;
  wire [2:0]        queue;
  reg  [6:0]        verdict_q [0:Depth-1];
  reg               unread_q;  // the memory answered one of its beats with an error
  reg  [CountW-1:0] last_q;
  wire [6:0]        verdict = {unread_q ? `VLA_ERROR_AXI_READ : broken, queue};

  vla_packet_check #(
    .ActWords   (ActWords),
    .WeightWords(WeightWords),
    .ParamWords (ParamWords)
  ) u_check (
    .clk_i   (clk_i),
    .valid_i (arrives),
    .packet_i(packet),
    .error_o (broken),
    .queue_o (queue)
  );

  always @(posedge clk_i) begin
    if (arrives) begin
      unread_q <= low_beat_q[256] || r_error_i;
      last_q   <= in_q;
    end
    verdict_q[last_q[IndexW-1:0]] <= verdict;
  end

  assign {packet_error_o, packet_queue_o} = next_q == last_q ? verdict : verdict_q[next_q[IndexW-1:0]];

  generate
    if (Burst < 2 || Burst > 64 || Burst > Depth || (Burst & (Burst - 1)) != 0) begin : g_check
      vla_bad_parameter_prefetch_burst u_bad ();
    end
    if ((Depth & (Depth - 1)) != 0) begin : g_check_depth
      vla_bad_parameter_prefetch_depth_power_of_two u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
