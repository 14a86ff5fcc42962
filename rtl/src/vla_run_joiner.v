// Joins runs that follow each other without a gap in both memories into one, so that short neighbouring runs
// become long bursts.
// Does: hold one run back and add the next to it when it continues it; pass it on when it does not, when it has
// left the aligned group of Group words it started in, or when no next run is offered.
// Does not: reorder, or join to a run that was passed on.
// Latency: one cycle. Handshake: runs are ready/valid; busy_o is high while a run is held.
`default_nettype none
module vla_run_joiner #(
  parameter SrcAw   = 32,  // bits of a source address
  parameter DstAw   = 17,  // bits of a destination address
  parameter InBits  = 17,  // bits of a run's length; one more for a joined run
  parameter Group   = 64   // words, a power of two
) (
  input  wire              clk_i,
  input  wire              rst_i,
  input  wire              run_valid_i,
  output wire              run_ready_o,
  input  wire [SrcAw-1:0]  run_src_i,
  input  wire [DstAw-1:0]  run_dst_i,
  input  wire [InBits-1:0] run_units_i,
  output wire              busy_o,
  output wire              out_valid_o,
  input  wire              out_ready_i,
  output wire [SrcAw-1:0]  out_src_o,
  output wire [DstAw-1:0]  out_dst_o,
  output wire [InBits:0]   out_units_o
);

  reg              valid_q;
  reg [SrcAw-1:0]  src_q, src_end_q;
  reg [DstAw-1:0]  dst_q, dst_end_q;
  reg [InBits:0]   units_q;

  localparam GroupLog = $clog2(Group);
  wire same  = src_q[SrcAw-1:GroupLog] == src_end_q[SrcAw-1:GroupLog];
  wire joins = valid_q && same && run_src_i == src_end_q && run_dst_i == dst_end_q;
  wire grow  = run_valid_i && joins;
  wire take  = run_valid_i && run_ready_o;

  assign busy_o      = valid_q;
  assign out_valid_o = valid_q && !grow;
  assign out_src_o   = src_q;
  assign out_dst_o   = dst_q;
  assign out_units_o = units_q;
  assign run_ready_o = !valid_q || joins || out_ready_i;

  wire [31:0] units = {{(32 - InBits){1'b0}}, run_units_i};

  always @(posedge clk_i) begin
    if (rst_i) valid_q <= 1'b0;
    else if (take) valid_q <= 1'b1;
    else if (out_ready_i) valid_q <= 1'b0;
  end

  always @(posedge clk_i) begin
    if (take) begin
      if (!grow) begin
        src_q   <= run_src_i;
        dst_q   <= run_dst_i;
        units_q <= {1'b0, run_units_i};
      end else begin
        units_q <= units_q + {1'b0, run_units_i};
      end
      src_end_q <= run_src_i + units[SrcAw-1:0];
      dst_end_q <= run_dst_i + units[DstAw-1:0];
    end
  end

  wire unused_high = ^units;

endmodule
`default_nettype wire
