// The loops that fetch is in: at most two, the inner one first.
// Does: refuse a LOOP that is a third one or ends behind the loop around it; hold where the innermost body starts and
// ends, its register and its round; say whether it is left or gone round again; say whether all of its packets stay in
// the prefetch buffer, so that it goes round without a read.
// Does not: hold registers, or see packets other than LOOP.
// Latency: refuse_o is right two cycles after the packet came to dispatch, push_i may be high from then on. What
// push_i and turn_i change shows in the next cycle.
`default_nettype none
module vla_fetch_loops #(
  parameter Depth = 32,  // packets of the prefetch buffer
  parameter Burst = 8    // packets of one of its reads
) (
  input  wire        clk_i,
  input  wire        rst_i,
  input  wire        clear_i,
  // the packet at dispatch, if it is a LOOP
  input  wire [31:0] line_i,
  input  wire [15:0] n_i,
  input  wire [15:0] count_i,
  input  wire [1:0]  register_i,
  output wire        refuse_o,
  input  wire        push_i,      // it starts
  // the innermost loop
  output wire        inside_o,    // there is one
  output wire [31:0] start_o,     // line of its body's first packet
  output wire [31:0] last_o,      // and of its last
  output wire [1:0]  register_o,
  output wire [15:0] round_o,     // the next round
  output wire        again_o,     // there is one more
  output wire        held_o,      // its body is in the buffer
  input  wire        turn_i,      // its last packet is through: go round, or leave it
  output wire        together_o   // the loop around it has the same last packet
);

  localparam IndexW = $clog2(Depth);
  localparam BurstW = $clog2(Burst);
  localparam LoopBits = 32 + 32 + 16 + 16 + 2 + 1;

  // ---- the LOOP at dispatch ----
  reg  [31:0]     last_new_q;  // last line of its body
  reg             fits_q;      // reads end at multiples of Burst: so far is there room behind its first packet
  reg             over_q;      // it ends behind the loop around it
  reg             same_q;      // it ends with it
  wire [BurstW-1:0] place = line_i[BurstW-1:0] + 1'b1;  // of its first packet in a read
  wire [IndexW+1:0] span  = {1'b0, n_i[IndexW:0]} + {{(IndexW+2-BurstW){1'b0}}, place};

  // ---- the loops ----
  reg  [1:0]          depth_q;
  reg  [31:0]         start_q, last_q;
  reg  [15:0]         left_q, round_q;  // rounds after this one; its number
  reg  [1:0]          register_q;
  reg                 held_q;
  reg                 together_q;
  reg  [LoopBits-1:0] outer_q;

  assign inside_o   = depth_q != 2'd0;
  assign refuse_o   = depth_q == 2'd2 || (inside_o && over_q);
  assign start_o    = start_q;
  assign last_o     = last_q;
  assign register_o = register_q;
  assign round_o    = round_q + 16'd1;
  assign again_o    = left_q != 16'd0;
  assign held_o     = inside_o && held_q;
  assign together_o = depth_q == 2'd2 && together_q;

  always @(posedge clk_i) begin
    last_new_q <= line_i + {16'd0, n_i};
    fits_q     <= n_i >> (IndexW + 1) == 16'd0 && span <= Depth[IndexW+1:0];
    over_q     <= last_new_q > last_q;
    same_q     <= last_new_q == last_q;
  end

  always @(posedge clk_i) begin
    if (rst_i || clear_i)        depth_q <= 2'd0;
    else if (push_i)             depth_q <= depth_q + 2'd1;
    else if (turn_i && !again_o) depth_q <= depth_q - 2'd1;
  end

  always @(posedge clk_i) begin
    if (push_i) begin
      outer_q    <= {start_q, last_q, left_q, round_q, register_q, held_q};
      start_q    <= line_i + 32'd1;
      last_q     <= last_new_q;
      left_q     <= count_i - 16'd1;
      round_q    <= 16'd0;
      register_q <= register_i;
      held_q     <= fits_q || held_o;  // a loop around it that is held holds it too
      together_q <= same_q;
    end else if (turn_i && again_o) begin
      left_q  <= left_q - 16'd1;
      round_q <= round_o;
    end else if (turn_i) begin
      {start_q, last_q, left_q, round_q, register_q, held_q} <= outer_q;
    end
  end

  generate
    if (Burst < 2 || Burst > Depth || (Depth & (Depth - 1)) != 0 || (Burst & (Burst - 1)) != 0) begin : g_check
      vla_bad_parameter_loops_depth_and_burst_powers_of_two u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
