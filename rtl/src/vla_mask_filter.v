// Tile mask of a weight COPY: drop the runs of weight blocks whose mask bit is zero, and place the others
// without gaps from the first destination word.
// Does: read the mask word of each row (out block) from the parameter memory when its first run comes; drop
// or pass one run per cycle. Without a mask, runs pass unchanged and combinationally.
// Does not: read a mask before may_read_i says that every older packet is done (it may have loaded the mask).
// Latency: two cycles more at the first run of a row. Handshake: runs are ready/valid; start_i takes the
// constants before the first run comes.
`default_nettype none
module vla_mask_filter #(
  parameter Block   = 16,  // B; a mask word has 64*B bits
  parameter ParamAw = 11,  // bits of a parameter word address
  parameter DstAw   = 17   // bits of a destination address
) (
  input  wire                clk_i,
  input  wire                rst_i,
  // constants, taken at start_i
  input  wire                start_i,
  input  wire                enable_i,
  input  wire [ParamAw-1:0]  mask_base_i,
  input  wire [DstAw-1:0]    dst_base_i,
  input  wire [DstAw-1:0]    run_units_i,  // destination words of a run
  input  wire                may_read_i,
  // runs in
  input  wire                run_valid_i,
  output wire                run_ready_o,
  input  wire [DstAw-1:0]    run_dst_i,
  input  wire [11:0]         run_i1_i,      // in block
  input  wire [11:0]         run_i2_i,      // out block
  input  wire                run_row_end_i,
  // runs out
  output wire                live_valid_o,
  input  wire                live_ready_i,
  output wire [DstAw-1:0]    live_dst_o,
  // parameter memory
  output wire                param_rd_valid_o,
  output wire [ParamAw-1:0]  param_rd_addr_o,
  input  wire                param_rd_grant_i,
  input  wire [64*Block-1:0] param_rd_data_i
);

  localparam BitAw = $clog2(64 * Block);

  reg                enable_q;
  reg [ParamAw-1:0]  mask_base_q;
  reg [DstAw-1:0]    units_q;
  reg [DstAw-1:0]    next_q;  // where the next live run goes
  reg                asked_q; // the mask word is on param_rd_data_i
  reg                have_q;  // mask_q is that of this row
  reg [64*Block-1:0] mask_q;

  // A bit past the end of the mask word is zero.
  wire live = run_i1_i[11:BitAw] == 0 && mask_q[run_i1_i[BitAw-1:0]];
  wire take = run_valid_i && run_ready_o;

  wire [31:0] row = {20'd0, run_i2_i};
  assign param_rd_valid_o = enable_q && run_valid_i && !asked_q && !have_q && may_read_i;
  assign param_rd_addr_o  = mask_base_q + row[ParamAw-1:0];

  assign live_valid_o = run_valid_i && (!enable_q || (have_q && live));
  assign live_dst_o   = enable_q ? next_q : run_dst_i;
  assign run_ready_o  = enable_q ? have_q && (!live || live_ready_i) : live_ready_i;

  always @(posedge clk_i) begin
    if (rst_i) begin
      enable_q <= 1'b0;
      asked_q  <= 1'b0;
      have_q   <= 1'b0;
    end else begin
      if (start_i) enable_q <= enable_i;
      asked_q <= param_rd_valid_o && param_rd_grant_i;
      have_q  <= asked_q || (have_q && !(take && run_row_end_i));
    end
  end

  always @(posedge clk_i) begin
    if (start_i) begin
      mask_base_q <= mask_base_i;
      units_q     <= run_units_i;
    end
    if (start_i) next_q <= dst_base_i;
    else if (live_valid_o && live_ready_i) next_q <= next_q + units_q;
    if (asked_q) mask_q <= param_rd_data_i;
  end

  wire unused_high = ^row[31:ParamAw];

endmodule
`default_nettype wire
